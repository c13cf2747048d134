export * from './application';
export * from './decider';
export * from './errors';
export * from './expiry-policy';
export * from './hash-chain';
export * from './secret-format';
export * from './security-domain';
