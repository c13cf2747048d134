import { runService } from '@rekey/composition';

void runService('expiry-watcher', process.argv.slice(2));
