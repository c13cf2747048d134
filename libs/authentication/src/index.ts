export * from './basic';
export * from './check';
export * from './limiter';
export { addressText } from './networks';
export * from './usage';
