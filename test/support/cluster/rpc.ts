/** Functions of another process or thread. Arguments and results are cloned; errors keep their fields. */
export type Remote<F> = {
  [K in keyof F]: F[K] extends (...args: infer A) => infer R ? (...args: A) => Promise<Awaited<R>> : never;
};

/** A way to carry messages. */
export interface Channel {
  send(message: unknown): void;
  onMessage(listener: (message: unknown) => void): void;
  /** Called once, when no further message can come. */
  onClose(listener: () => void): void;
}

interface Waiting {
  resolve: (value: unknown) => void;
  reject: (error: Error) => void;
  site: Error;
}

type Functions = Record<string, (...args: never[]) => unknown>;

interface Call {
  id: number;
  name: string;
  args: unknown[];
}

type Answer = { id: number } & ({ value: unknown } | { error: PlainError });

interface PlainError {
  message: string;
  stack: string | undefined;
  fields: Record<string, unknown>;
}

function toPlain(error: unknown): PlainError {
  if (!(error instanceof Error)) return { message: String(error), stack: undefined, fields: {} };
  const { message, stack, name } = error;
  const scalars = Object.entries(error).filter(([, value]) => typeof value !== 'object');
  return { message, stack, fields: { name, ...Object.fromEntries(scalars) } };
}

/** `site` is an error made where the function was called: its stack is the one that a reader wants first. */
function fromPlain({ message, stack, fields }: PlainError, site: Error): Error {
  const trace = `${message}${(site.stack ?? '').replace(/^.*/, '')}\n  remotely: ${stack}`;
  return Object.assign(new Error(message), fields, { stack: trace });
}

/** Answers calls that come through the channel. */
export function serve(channel: Channel, functions: Functions): void {
  const answer = async ({ id, name, args }: Call): Promise<Answer> => {
    try {
      const called = functions[name] as ((...args: unknown[]) => unknown) | undefined;
      if (!called) throw new Error(`There is no function ${name}`);
      return { id, value: await called(...args) };
    } catch (error) {
      return { id, error: toPlain(error) };
    }
  };
  channel.onMessage((call) => {
    void answer(call as Call).then((message) => channel.send(message));
  });
}

/** The functions that `serve` answers at the other end. `who` is for error messages. */
export function remote<F extends object>(channel: Channel, who: string): Remote<F> {
  const waiting = new Map<number, Waiting>();
  let last = 0;
  let closed = false;
  channel.onMessage((message) => {
    const answer = message as Answer;
    const call = waiting.get(answer.id);
    waiting.delete(answer.id);
    if ('error' in answer) call?.reject(fromPlain(answer.error, call.site));
    else call?.resolve(answer.value);
  });
  channel.onClose(() => {
    closed = true;
    for (const { reject } of waiting.values()) reject(new Error(`${who} has ended`));
    waiting.clear();
  });
  const call = (name: string, args: unknown[]) => {
    const site = new Error();
    return new Promise((resolve, reject) => {
      if (closed) return reject(new Error(`${who} has ended`));
      waiting.set(++last, { resolve, reject, site });
      channel.send({ id: last, name, args } satisfies Call);
    });
  };
  const functions = new Map<string, unknown>();
  return new Proxy({} as Remote<F>, {
    get(_, name) {
      /* Not a promise, whoever awaits it. */
      if (typeof name !== 'string' || name === 'then') return undefined;
      if (!functions.has(name)) functions.set(name, (...args: unknown[]) => call(name, args));
      return functions.get(name);
    },
  });
}
