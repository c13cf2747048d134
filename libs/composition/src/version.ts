// The version has one place, and the bundle takes it in.
// eslint-disable-next-line @nx/enforce-module-boundaries
export { version as VERSION } from '../../../package.json';
