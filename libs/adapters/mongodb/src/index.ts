export * from './mongo-database';
export * from './mongo-outcomes';
export * from './mongo-read-models';
