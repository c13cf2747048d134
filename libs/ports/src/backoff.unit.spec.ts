import { backoffMs } from './backoff';

it('doubles the wait with each failure up to the maximum', () => {
  expect([1, 2, 3, 4, 5, 2_000].map((failures) => backoffMs(failures, 100, 700))).toEqual([
    100, 200, 400, 700, 700, 700,
  ]);
});
