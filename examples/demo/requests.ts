import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createInterface } from 'node:readline';

import type { Cluster, Place } from './cluster';

/** Asks for the page, one connection after the other. Yields who answered, or that nobody did. */
export async function* requests(
  cluster: Cluster,
  from: Place,
  to: string,
  times: number,
): AsyncGenerator<string> {
  const format = '%{http_code} %header{pod} to %header{client}\\n';
  const curl = ['curl', '--silent', '--max-time', '5', '--output', '/dev/null', '--write-out', format];
  const child = cluster.start(from, [...curl, `http://${to}/?[1-${times}]`], ['ignore', 'pipe', 'inherit']);
  const exited = once(child, 'exit');
  assert(child.stdout);
  for await (const line of createInterface({ input: child.stdout })) {
    yield line.startsWith('200 ') ? line.slice(4) : failure;
  }
  await exited;
}

const failure = 'no answer';

/** Asks sixty times, and reports. */
export async function ask(cluster: Cluster, from: Place, to: string, pods: readonly Place[]): Promise<void> {
  const answers: string[] = [];
  for await (const answer of requests(cluster, from, to, 60)) answers.push(answer);
  report(from, to, answers, pods);
}

/**
 * Prints how often each answer came. Throws unless all requests were answered, and by exactly these pods: with 60
 * requests, the odds that one of three is never chosen are one to ten thousand millions.
 */
export function report(from: Place, to: string, answers: readonly string[], pods: readonly Place[]): void {
  const counts = new Map<string, number>();
  for (const answer of answers) counts.set(answer, (counts.get(answer) ?? 0) + 1);
  console.log(
    `${from.name} asks ${to} ${answers.length} times, ${counts.get(failure) ?? 0} without an answer:`,
  );
  for (const [answer, count] of [...counts].sort()) console.log(`${String(count).padStart(5)} x ${answer}`);
  const answering = new Set(answers.map((answer) => answer.split(' ')[0]));
  assert.deepEqual([...answering].sort(), pods.map(({ name }) => name).sort());
}
