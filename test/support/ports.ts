export { freePort } from '../../demo/local/ports.ts';
