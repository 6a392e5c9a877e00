import { drawing, element, label } from './svg';

/** Colours that people with any kind of colour vision can tell apart (Okabe and Ito). */
export const palette = ['#0072b2', '#d55e00', '#009e73', '#cc79a7', '#e69f00', '#56b4e9'] as const;

/** For what others are compared with. */
export const grey = '#bbbbbb';

const width = 760;
const gridColour = '#e5e5e5';

/** A step of 1, 2 or 5 times a power of ten that gives about five lines. */
function niceStep(range: number): number {
  const rough = range / 5;
  const power = 10 ** Math.floor(Math.log10(rough));
  return power * ([1, 2, 5].find((factor) => factor * power >= rough) ?? 10);
}

/** A horizontal bar of parts that follow each other. */
export interface Bar {
  readonly name: string;
  /** By the position of the part in the legend. */
  readonly parts: readonly number[];
  /** Written behind the bar. */
  readonly note: string;
}

/** Horizontal bars on one linear scale from 0. */
export function barChart(
  title: string,
  subtitle: string,
  unit: string,
  legend: readonly { readonly name: string; readonly colour: string }[],
  bars: readonly Bar[],
): string {
  const [left, right, top, step, thickness] = [230, 150, 92, 30, 18];
  const height = top + bars.length * step + 44;
  const longest = Math.max(...bars.map(({ parts }) => parts.reduce((sum, part) => sum + part, 0)));
  const scale = (value: number) => left + (value / longest) * (width - left - right);
  const shapes: string[] = [];
  const bottom = top + bars.length * step;
  const tick = niceStep(longest);
  for (let value = 0; value <= longest; value += tick) {
    shapes.push(
      element('line', { x1: scale(value), x2: scale(value), y1: top - 6, y2: bottom, stroke: gridColour }),
      label(scale(value), bottom + 16, value.toLocaleString('en'), {
        'text-anchor': 'middle',
        fill: '#555555',
      }),
    );
  }
  shapes.push(label(width - right, bottom + 34, unit, { 'text-anchor': 'end', fill: '#555555' }));
  bars.forEach(({ name, parts, note }, i) => {
    const y = top + i * step;
    let from = 0;
    shapes.push(label(left - 8, y + 13, name, { 'text-anchor': 'end' }));
    parts.forEach((part, k) => {
      const colour = legend[k]?.colour ?? grey;
      shapes.push(
        element('rect', {
          x: scale(from),
          y,
          width: scale(from + part) - scale(from),
          height: thickness,
          fill: colour,
        }),
      );
      from += part;
    });
    shapes.push(label(scale(from) + 6, y + 13, note, { fill: '#555555' }));
  });
  return drawing(width, height, title, subtitle, drawLegend(legend, left, 72), ...shapes);
}

/** One line of a line chart. */
export interface Line {
  readonly name: string;
  readonly colour: string;
  readonly points: readonly {
    readonly x: number;
    readonly y: number;
    readonly low: number;
    readonly high: number;
  }[];
}

/** Lines on logarithmic scales, with the 95 % intervals of their points. Every x and y is above 0. */
export function lineChart(
  title: string,
  subtitle: string,
  [xTitle, yTitle]: readonly [x: string, y: string],
  lines: readonly Line[],
): string {
  const [left, right, top, bottom, height] = [80, 170, 84, 340, 388];
  const points = lines.flatMap((line) => line.points);
  const decades = (values: readonly number[]) => ({
    from: Math.floor(Math.log10(Math.min(...values))),
    to: Math.ceil(Math.log10(Math.max(...values))),
  });
  const [xs, ys] = [decades(points.map(({ x }) => x)), decades(points.map(({ y }) => y))];
  const x = (value: number) =>
    left + ((Math.log10(value) - xs.from) / (xs.to - xs.from)) * (width - left - right);
  const y = (value: number) => bottom - ((Math.log10(value) - ys.from) / (ys.to - ys.from)) * (bottom - top);
  const shapes: string[] = [];
  for (let decade = xs.from; decade <= xs.to; decade++) {
    const at = x(10 ** decade);
    shapes.push(
      element('line', { x1: at, x2: at, y1: top, y2: bottom, stroke: gridColour }),
      label(at, bottom + 18, (10 ** decade).toLocaleString('en'), {
        'text-anchor': 'middle',
        fill: '#555555',
      }),
    );
  }
  for (let decade = ys.from; decade <= ys.to; decade++) {
    const at = y(10 ** decade);
    shapes.push(
      element('line', { x1: left, x2: width - right, y1: at, y2: at, stroke: gridColour }),
      label(left - 8, at + 4, (10 ** decade).toLocaleString('en'), { 'text-anchor': 'end', fill: '#555555' }),
    );
  }
  shapes.push(
    label((left + width - right) / 2, bottom + 38, xTitle, { 'text-anchor': 'middle', fill: '#555555' }),
    label(left - 64, top - 12, yTitle, { fill: '#555555' }),
  );
  for (const { name, colour, points: own } of lines) {
    const path = own.map((point) => `${x(point.x).toFixed(1)},${y(point.y).toFixed(1)}`).join(' ');
    shapes.push(element('polyline', { points: path, fill: 'none', stroke: colour, 'stroke-width': 2 }));
    for (const point of own) {
      const [at, low, high] = [x(point.x), Math.max(point.low, 10 ** ys.from), point.high];
      shapes.push(
        element('line', { x1: at, x2: at, y1: y(low), y2: y(high), stroke: colour, 'stroke-width': 2 }),
        element('circle', { cx: at, cy: y(point.y), r: 4, fill: colour }),
      );
    }
    const last = own.at(-1);
    if (last)
      shapes.push(label(x(last.x) + 10, y(last.y) + 4, name, { fill: colour, 'font-weight': 'bold' }));
  }
  return drawing(width, height, title, subtitle, ...shapes);
}

function drawLegend(
  entries: readonly { readonly name: string; readonly colour: string }[],
  left: number,
  y: number,
): string {
  let x = left;
  return entries
    .map(({ name, colour }) => {
      const entry =
        element('rect', { x, y: y - 10, width: 12, height: 12, fill: colour }) + label(x + 18, y, name);
      x += 36 + name.length * 6.5;
      return entry;
    })
    .join('');
}
