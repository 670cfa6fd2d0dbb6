/** placeholder */
export const EXAMPLES = '';
