export * from './access';
export * from './cloud-events';
export * from './commands';
export * from './errors';
export * from './events';
export * from './http';
export * from './primitives';
export * from './views';
