import { native, options } from '../support';

// Tries to load and prints the properties of the error.
void native.load(options).then(
  () => process.exit(1),
  (error: Error) => process.stdout.write(JSON.stringify(error)),
);
