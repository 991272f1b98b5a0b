/* Real numbers as text, whatever the locale of the program. */
#ifndef EVERLINE_BASE_NUMBER_H
#define EVERLINE_BASE_NUMBER_H

#define NUMBER_SIZE 32

/* The shortest of three precisions that reads back; `value` is finite. Returns `out`. */
const char *number_text(char out[NUMBER_SIZE], double value);
double number_read(const char *text, char **end); /* as strtod(3); `end` or NULL */

#endif
