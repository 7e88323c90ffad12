/* out - what activatorctl writes: answers to standard output; progress, mistakes and hints to
 * standard error.  Colour only where standard output is a terminal, and NO_COLOR is unset. */
#ifndef AUTOSCALER_CTL_OUT_H
#define AUTOSCALER_CTL_OUT_H

#include "common/base.h"

enum out_colour { OUT_PLAIN, OUT_BOLD, OUT_GREEN, OUT_YELLOW, OUT_RED, OUT_DIM };

/* To be called first. */
void out_open(bool is_quiet);
/* False: standard output could not be written. */
NODISCARD bool out_close(void);
bool out_is_terminal(void); /* standard output */
/* The lines of the terminal, and its columns; 0: unknown. */
unsigned out_lines(void);
unsigned out_columns(void);

/* Columns that a text takes: its characters of UTF-8, each taken as one wide. */
unsigned out_width(const char *text);

void out_text(const char *text);
void out_printf(const char *fmt, ...) PRINTF_LIKE(1, 2);
/* A whole line of what comes between two calls; for parts of tables and of pages. */
void out_coloured(enum out_colour, const char *fmt, ...) PRINTF_LIKE(2, 3);
void out_flush(void);
/* Begin a new page at the top of the terminal, and forget what is below it at the end of one. */
void out_page(void);
void out_page_end(void);

/* One line on standard error: "activatorctl: text". */
void out_error(const char *fmt, ...) PRINTF_LIKE(1, 2);
/* The same with what to do next behind it; next NULL: nothing. */
void out_failure(const char *text, const char *next);
/* A line on standard error, unless --quiet. */
void out_note(const char *fmt, ...) PRINTF_LIKE(1, 2);
/* What is waited for, unless --quiet.  On a terminal it replaces the last one; else each differing
 * text is a line, once it has taken a second. */
void out_progress(const char *text, double elapsed_s);
void out_progress_end(void);

/* A table: its cells are written by rows, in columns that are as wide as they need.  A column
 * whose name begins with '>' is for numbers, which stand at its right. */
struct out_table; /* opaque */
NODISCARD struct out_table *out_table_new(const char *const *columns, size_t n);
void out_cell(struct out_table *, enum out_colour, const char *fmt, ...) PRINTF_LIKE(3, 4);
/* The row that is being written goes before those of less weight; 0 without this call. */
void out_row_weight(struct out_table *, double weight);
/* Write at most `most` rows (0: all), each behind `indent` spaces, and free it.  With `most`, what
 * goes beyond the last column of the terminal is left out, so that each row is one line. */
void out_table_end(struct out_table **, unsigned indent, size_t most);
void out_table_drop(struct out_table **); /* free it without that */

#endif
