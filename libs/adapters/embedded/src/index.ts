export * from './sqlite-database';
export * from './sqlite-read-models';
