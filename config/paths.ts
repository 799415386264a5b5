/**
 * A folder contains itself. Of paths as the schema of the site file gives them: absolute, without `.` and `..`, and with no
 * slash at the end.
 */
export function contains(folder: string, path: string): boolean {
  return folder === path || folder === '/' || path.startsWith(`${folder}/`);
}
