/** An SVG element as text. Numbers are rounded to what can be seen; children are elements already. */
export function element(
  name: string,
  attributes: Readonly<Record<string, string | number>>,
  ...children: readonly string[]
): string {
  const given = Object.entries(attributes)
    .map(
      ([key, value]) => ` ${key}="${typeof value === 'number' ? Number(value.toFixed(1)) : escape(value)}"`,
    )
    .join('');
  return children.length === 0 ? `<${name}${given}/>` : `<${name}${given}>${children.join('')}</${name}>`;
}

/** A line of text. */
export function label(
  x: number,
  y: number,
  text: string,
  attributes: Readonly<Record<string, string | number>> = {},
): string {
  return element('text', { x, y, ...attributes }, escape(text));
}

/** A whole drawing on a white ground, with a title and a line below it. */
export function drawing(
  width: number,
  height: number,
  title: string,
  subtitle: string,
  ...children: readonly string[]
): string {
  return (
    element(
      'svg',
      {
        xmlns: 'http://www.w3.org/2000/svg',
        viewBox: `0 0 ${width} ${height}`,
        width,
        height,
        'font-family': 'Helvetica, Arial, sans-serif',
        'font-size': 12,
        fill: '#222222',
      },
      element('rect', { width, height, fill: '#ffffff' }),
      label(16, 26, title, { 'font-size': 16, 'font-weight': 'bold' }),
      label(16, 46, subtitle, { fill: '#555555' }),
      ...children.map((child) => `\n${child}`),
    ) + '\n'
  );
}

function escape(text: string): string {
  return text.replace(
    /[&<>"]/g,
    (c) => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' })[c] as string,
  );
}
