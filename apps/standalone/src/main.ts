import { main } from './standalone';

void main(process.argv.slice(2));
