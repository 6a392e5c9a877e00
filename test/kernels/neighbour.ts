import { ask, serve } from './talk';

// A process in a neighbour's network namespace: serves, and asks others when it is told to. Argument: its name.

const [, , name = ''] = process.argv;

process.on('message', ({ host, port }: { host: string; port: number }) => {
  ask(host, port).then(
    (answer) => process.send?.({ answer }),
    (error: unknown) => process.send?.({ error: String(error) }),
  );
});
process.on('disconnect', () => process.exit());

serve(name)
  .then(() => process.send?.('ready'))
  .catch((error: unknown) => {
    console.error(error);
    process.exit(1);
  });
