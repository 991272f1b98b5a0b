// Whether what a page says can be read: contrast as WCAG 2 defines it (1.4.3: 4.5, of large text 3).

/** The bytes of #rrggbb. */
const bytes = (hex) => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));

/** How one colour stands out against another, from 1 to 21; red, green and blue from 0 to 255. */
export function ratio(one, other) {
  const luminance = (colour) => {
    const [r, g, b] = colour.map((byte) => (byte / 255 <= 0.04045 ? byte / 255 / 12.92 : ((byte / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const [less, more] = [luminance(one), luminance(other)].sort((a, b) => a - b);
  return (more + 0.05) / (less + 0.05);
}

/** The variables of a style sheet, for light and for dark. */
export function themes(css) {
  const variables = (text) => Object.fromEntries([...text.matchAll(/--([a-z0-9-]+): *([^;]+);/g)].map(([, name, value]) => [name, value]));
  const at = css.indexOf('@media (prefers-color-scheme: dark)');
  if (at < 0) throw new Error('the style sheet has no dark theme');
  const light = variables(css.slice(0, at));
  return { light, dark: { ...light, ...variables(css.slice(at)) } };
}

/** Which of these pairs [text, ground] of variables have less contrast than that. */
export const weak = (theme, pairs, least = 4.5) => pairs.map(([text, ground]) => [text, ground, ratio(bytes(theme[text]), bytes(theme[ground]))])
  .filter(([, , is]) => is < least).map(([text, ground, is]) => `${text} on ${ground}: ${is.toFixed(2)}`);

/** In the page: every text that is seen, in the shadows too, with its colour, what is behind it, and how large it is. */
function seen() {
  const found = [], above = (one) => one.assignedSlot ?? one.parentElement ?? one.getRootNode().host;
  const parts = (text) => { const [r, g, b, a = 1] = text.match(/[\d.]+/g).map(Number); return { rgb: [r, g, b], a }; };
  const over = (upper, a, lower) => upper.map((byte, i) => byte * a + lower[i] * (1 - a));
  const canvas = matchMedia('(prefers-color-scheme: dark)').matches ? [18, 18, 18] : [255, 255, 255];
  const ground = (one) => {
    if (!one) return canvas;
    const { rgb, a } = parts(getComputedStyle(one).backgroundColor);
    return a === 1 ? rgb : over(rgb, a, ground(above(one)));
  };
  const opacity = (one) => (one ? getComputedStyle(one).opacity * opacity(above(one)) : 1);
  const note = (one, text, style = getComputedStyle(one)) => {
    const behind = ground(one), { rgb, a } = parts(style.color), size = parseFloat(style.fontSize);
    found.push({ text: text.trim().slice(0, 60), what: `${one.localName}.${one.className}`, colour: over(rgb, a * opacity(one), behind), behind,
      large: size >= 24 || (size >= 18.66 && style.fontWeight >= 700) });
  };
  const still = (root) => {
    for (const moving of root.getAnimations()) moving.finish(); // from one theme into the other
    for (const one of root.querySelectorAll('*')) if (one.shadowRoot) still(one.shadowRoot);
  };
  const look = (root) => {
    for (const one of root.querySelectorAll('*')) {
      if (one.shadowRoot) look(one.shadowRoot);
      if (!one.checkVisibility() || one.disabled || ['SCRIPT', 'STYLE', 'OPTION', 'NOSCRIPT', 'TITLE'].includes(one.tagName)) continue;
      if (one.placeholder && !one.value) note(one, one.placeholder, getComputedStyle(one, '::placeholder'));
      else if (one.value && one.matches('input:not([type=checkbox]), textarea')) note(one, one.value);
      for (const node of one.childNodes) if (node.nodeType === Node.TEXT_NODE && node.data.trim()) note(one, node.data);
    }
  };
  still(document);
  look(document);
  return found;
}

/** What of a page cannot be read well. There is something on it. */
export async function faint(page) {
  const texts = await page.run(seen);
  if (texts.length < 10) throw new Error(`${texts.length} texts on the page`);
  return [...new Set(texts.map((one) => ({ ...one, is: ratio(one.colour, one.behind) })).filter(({ is, large }) => is < (large ? 3 : 4.5))
    .map(({ text, what, is }) => `${what} "${text}": ${is.toFixed(2)}`))];
}
