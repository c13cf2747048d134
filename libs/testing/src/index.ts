export * from './certificates';
export * from './engines';
export * from './kafka-nodes';
export * from './programs';
export * from './proxy';
export * from './signing-keys';
export * from './temporary-folder';
