export * from './engines';
export * from './proxy';
