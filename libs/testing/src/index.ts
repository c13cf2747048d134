export * from './engines';
export * from './programs';
export * from './proxy';
