/*
 * An independent model of what the datapath promises, to compare the kernel and the simulator with. It shares nothing
 * with the library but the types of its input.
 */
export { refusals, settled } from './accept';
export { decide, type Expectation, type ModelChoice, type ModelQuery } from './decide';
export { type Family, familyOf, type ModelDevice, type ModelNode, routeTo } from './network';
export { Pins } from './pins';
