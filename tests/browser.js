// What a reader would not want to meet on a page. Each function returns a list of complaints: empty for a good page.
(() => {
  const LEAST_SIZE = 12; // pixels
  const LEAST_CONTRAST = 4.5; // WCAG 2.1, level AA, for text of usual size
  const MAY_SCROLL = "pre, .math, .cell_output, p:has(> img), .pst-scrollable-table-container";
  const LITERAL = "pre, code, script, style, noscript, textarea, title, mjx-container";

  const seen = (element) => element.checkVisibility({ checkOpacity: true, checkVisibilityCSS: true });
  const short = (text) => text.trim().replace(/\s+/g, " ").slice(0, 60);
  const named = (element) => `<${element.tagName.toLowerCase()}> ${short(element.textContent)}`;
  const unique = (list) => [...new Set(list)];

  function textNodes(root = document.body) {
    const walker = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
    const nodes = [];
    while (walker.nextNode()) if (walker.currentNode.data.trim()) nodes.push(walker.currentNode);
    return nodes;
  }

  function visibleTexts() {
    return textNodes().filter(({ parentElement }) => {
      const { width, height } = parentElement.getBoundingClientRect();
      const spoken = width <= 1 || height <= 1 || parentElement.closest("mjx-assistive-mml");
      return !spoken && seen(parentElement);
    });
  }

  function mathematics() {
    const formulas = [...document.querySelectorAll(".math")];
    const raw = formulas.filter((formula) => !formula.querySelector("mjx-container svg"));
    const errors = document.querySelectorAll(
      '[data-mml-node="merror"], mjx-merror, mjx-container [fill="red"], mjx-container [data-mjx-error]'
    );
    const left = textNodes().filter(
      (node) => !node.parentElement.closest(LITERAL) && /\$|\\[([]|\\begin\{/.test(node.data)
    );
    return [
      ...raw.map((formula) => `a formula is not rendered: ${short(formula.textContent)}`),
      ...[...errors].map((error) => `a formula has an error: ${short(error.closest("mjx-container").textContent)}`),
      ...left.map((node) => `a formula is left as text: ${short(node.data)}`),
    ];
  }

  function images() {
    const broken = [...document.images].filter((image) => !(image.complete && image.naturalWidth > 0));
    const mute = [...document.images].filter((image) => !image.alt.trim());
    return [
      ...broken.map((image) => `an image is broken: ${image.getAttribute("src").slice(0, 80)}`),
      ...mute.map((image) => `an image has no alt text: ${image.getAttribute("src").slice(0, 80)}`),
    ];
  }

  function anchors() {
    const links = [...document.querySelectorAll('a[href^="#"]')].map((link) => link.getAttribute("href").slice(1));
    return unique(links)
      .filter((name) => name && !document.getElementById(decodeURIComponent(name)))
      .map((name) => `a link leads nowhere: #${name}`);
  }

  function overflow() {
    const page = document.documentElement;
    const complaints = [];
    if (page.scrollWidth > page.clientWidth)
      complaints.push(`the page is ${page.scrollWidth} pixels wide, the screen ${page.clientWidth}`);
    for (const element of document.body.querySelectorAll("*:not(svg, mjx-container, svg *, mjx-container *)")) {
      const wide = element.scrollWidth - element.clientWidth;
      const { overflowX, display } = getComputedStyle(element);
      if (wide <= 1 || element.clientWidth <= 1 || overflowX === "visible" || display === "inline") continue;
      if (!seen(element)) continue;
      if (overflowX === "hidden" || overflowX === "clip")
        complaints.push(`${wide} pixels are cut off: ${named(element)}`);
      else if (!element.matches(MAY_SCROLL)) complaints.push(`text scrolls sideways: ${named(element)}`);
    }
    const article = document.querySelector("article") ?? document.body;
    for (const element of article.querySelectorAll("img, table, p, li, summary, details, svg")) {
      const { left, right, width } = element.getBoundingClientRect();
      if (!width || !seen(element) || element.closest(MAY_SCROLL)) continue;
      if (left < -1 || right > page.clientWidth + 1) complaints.push(`beyond the edge: ${named(element)}`);
    }
    return unique(complaints);
  }

  function textSize() {
    return unique(
      visibleTexts().map(({ parentElement }) => {
        const scale = parentElement.getScreenCTM ? parentElement.getScreenCTM().a : 1; // inside an SVG
        const size = parseFloat(getComputedStyle(parentElement).fontSize) * scale;
        return size < LEAST_SIZE ? `text of ${size.toFixed(1)} pixels: ${named(parentElement)}` : "";
      })
    ).filter(Boolean);
  }

  const canvas = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  const known = new Map();

  function channels(colour) {
    if (!known.has(colour)) {
      canvas.clearRect(0, 0, 1, 1);
      canvas.fillStyle = colour;
      canvas.fillRect(0, 0, 1, 1);
      const [red, green, blue, alpha] = canvas.getImageData(0, 0, 1, 1).data;
      known.set(colour, [red, green, blue, alpha / 255]);
    }
    return known.get(colour);
  }

  function luminance(rgb) {
    const linear = rgb.slice(0, 3).map((c) => (c / 255 <= 0.04045 ? c / 3294.6 : ((c / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
  }

  const over = (front, back) => back.slice(0, 3).map((c, i) => front[3] * front[i] + (1 - front[3]) * c);

  function background(element) {
    const layers = [];
    for (let e = element; e; e = e.parentElement) {
      layers.unshift(channels(getComputedStyle(e).backgroundColor));
      if (layers[0][3] === 1) break;
    }
    return layers.reduce((back, front) => over(front, back), [255, 255, 255]);
  }

  function contrast() {
    const ratios = new Map();
    const complaints = visibleTexts().map(({ parentElement }) => {
      if (parentElement.closest("svg")) return "";
      const back = background(parentElement);
      const colour = getComputedStyle(parentElement).color;
      const key = `${colour} on ${back.map(Math.round)}`;
      if (!ratios.has(key)) {
        const [a, b] = [luminance(over(channels(colour), back)), luminance(back)];
        ratios.set(key, (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05));
      }
      const ratio = ratios.get(key);
      return ratio < LEAST_CONTRAST ? `contrast ${ratio.toFixed(2)} (${key}): ${named(parentElement)}` : "";
    });
    return unique(complaints).filter(Boolean);
  }

  // Click each choice of each question; its answer must appear, and nothing may lie over the choice.
  function answers() {
    const complaints = [];
    for (const details of document.querySelectorAll("details")) {
      const summary = details.querySelector("summary");
      if (!summary || !seen(summary)) continue;
      const answer = [...details.children].filter((child) => child !== summary);
      const shown = () => answer.some((child) => seen(child) && child.getBoundingClientRect().height > 0);
      if (shown()) complaints.push(`the answer shows before the click: ${named(summary)}`);
      summary.scrollIntoView({ block: "center", behavior: "instant" });
      const { left, top, width, height } = summary.getBoundingClientRect();
      const target = document.elementFromPoint(left + Math.min(width / 2, 40), top + height / 2);
      if (!summary.contains(target)) complaints.push(`something lies over: ${named(summary)}`);
      summary.click();
      if (!shown()) complaints.push(`a click shows no answer: ${named(summary)}`);
    }
    return complaints;
  }

  window.pageChecks = { answers, mathematics, images, anchors, overflow, textSize, contrast };
})();
