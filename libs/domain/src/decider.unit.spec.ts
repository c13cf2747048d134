import { unreachable } from './decider';

it('unreachable throws with the value that no case handles', () =>
  expect(() => unreachable('x' as never)).toThrow('Not handled: "x"'));
