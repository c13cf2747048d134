import { unreachable } from './decider';

it('unreachable throws an error that names the unhandled value', () =>
  expect(() => unreachable('x' as never)).toThrow('Not handled: "x"'));
