#include "autoscaler/ctl/out.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "common/text.h"

#define GAP 2 /* spaces between two columns */

static bool is_quiet, is_coloured, is_progress_shown, has_failed;
static char *last_progress;

static const char *const colour_codes[] = {
	[OUT_PLAIN] = "",	   [OUT_BOLD] = "\033[1m", [OUT_GREEN] = "\033[32m",
	[OUT_YELLOW] = "\033[33m", [OUT_RED] = "\033[31m", [OUT_DIM] = "\033[2m",
};
#define COLOUR_END "\033[0m"

void
out_open(bool quiet)
{
	const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");

	is_quiet = quiet;
	is_coloured = out_is_terminal() && (no_color == NULL || no_color[0] == '\0') &&
		      (term == NULL || strcmp(term, "dumb") != 0);
}

bool
out_close(void)
{
	out_progress_end();
	free(last_progress);
	last_progress = NULL;
	return fflush(stdout) == 0 && !ferror(stdout) && !has_failed;
}

bool
out_is_terminal(void)
{
	return isatty(STDOUT_FILENO) == 1;
}

unsigned
out_lines(void)
{
	struct winsize size;

	return ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 ? size.ws_row : 0;
}

unsigned
out_columns(void)
{
	struct winsize size;

	return ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 ? size.ws_col : 0;
}

void
out_text(const char *text)
{
	has_failed |= fputs(text, stdout) < 0;
}

void
out_printf(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	has_failed |= vprintf(fmt, args) < 0;
	va_end(args);
}

static void
begin_colour(enum out_colour colour)
{
	if (is_coloured)
		out_text(colour_codes[colour]);
}

static void
end_colour(enum out_colour colour)
{
	if (is_coloured && colour != OUT_PLAIN)
		out_text(COLOUR_END);
}

void
out_coloured(enum out_colour colour, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	begin_colour(colour);
	has_failed |= vprintf(fmt, args) < 0;
	end_colour(colour);
	va_end(args);
}

void
out_flush(void)
{
	has_failed |= fflush(stdout) != 0;
}

void
out_page(void)
{
	out_text("\033[H\033[2J");
}

void
out_page_end(void)
{
	out_text("\033[J");
	out_flush();
}

/* --- standard error --- */

void
out_error(const char *fmt, ...)
{
	va_list args;

	out_progress_end();
	va_start(args, fmt);
	fputs("activatorctl: ", stderr);
	vfprintf(stderr, fmt, args);
	fputs("\n", stderr);
	va_end(args);
}

void
out_failure(const char *text, const char *next)
{
	if (next == NULL)
		out_error("%s", text);
	else
		out_error("%s; %s", text, next);
}

void
out_note(const char *fmt, ...)
{
	va_list args;

	if (is_quiet)
		return;
	out_progress_end();
	va_start(args, fmt);
	vfprintf(stderr, fmt, args);
	fputs("\n", stderr);
	va_end(args);
}

void
out_progress(const char *text, double elapsed_s)
{
	bool is_new = !text_equal(last_progress, text);

	if (is_quiet)
		return;
	if (isatty(STDERR_FILENO) == 1) {
		fprintf(stderr, "\r\033[K%s (%.1f s)", text, elapsed_s);
		fflush(stderr);
		is_progress_shown = true;
	} else if (is_new && elapsed_s >= 1) {
		text_replace(&last_progress, text);
		fprintf(stderr, "%s (%.1f s)\n", text, elapsed_s);
	}
}

void
out_progress_end(void)
{
	if (is_progress_shown)
		fputs("\r\033[K", stderr);
	is_progress_shown = false;
}

/* --- tables --- */

struct table_cell {
	char *text;
	unsigned width;
	enum out_colour colour;
};

struct out_table {
	const char *const *columns;
	size_t columns_n;
	struct table_cell *cells;
	size_t n, cap;
	struct table_row *rows; /* NULL: in the order in which they were written */
	size_t rows_n;
};

struct table_row {
	double weight;
	size_t at; /* its number as it was written */
};

unsigned
out_width(const char *text)
{
	unsigned width = 0;

	for (; *text != '\0'; text++)
		width += ((unsigned char)*text & 0xc0) != 0x80;
	return width;
}

static const char *
title_of(const struct out_table *t, size_t column)
{
	return t->columns[column] + (t->columns[column][0] == '>');
}

struct out_table *
out_table_new(const char *const *columns, size_t n)
{
	struct out_table *t = xcalloc(1, sizeof *t);

	t->columns = columns;
	t->columns_n = n;
	return t;
}

/* What comes from a conf file or a program is not to move the cursor. */
static void
make_printable(char *text)
{
	for (; *text != '\0'; text++)
		if ((unsigned char)*text < ' ' || *text == 0x7f)
			*text = '?';
}

void
out_cell(struct out_table *t, enum out_colour colour, const char *fmt, ...)
{
	struct table_cell *c;
	va_list args;
	char text[500];

	if (t->n == t->cap) {
		t->cap = t->cap == 0 ? 64 : 2 * t->cap;
		t->cells = xrealloc(t->cells, t->cap * sizeof *t->cells);
	}
	va_start(args, fmt);
	vsnprintf(text, sizeof text, fmt, args);
	va_end(args);
	make_printable(text);
	c = &t->cells[t->n++];
	*c = (struct table_cell){.text = xstrdup(text), .width = out_width(text), .colour = colour};
}

static void
put_spaces(unsigned n)
{
	out_printf("%*s", (int)n, "");
}

static void
put_cell(const struct out_table *t, size_t column, const char *text, unsigned width,
	 enum out_colour colour, unsigned room)
{
	unsigned fill = room > width ? room - width : 0;
	bool is_right = t->columns[column][0] == '>';
	bool is_last = column + 1 == t->columns_n;

	if (is_right)
		put_spaces(fill);
	begin_colour(colour);
	out_text(text);
	end_colour(colour);
	if (is_last)
		out_text("\n");
	else
		put_spaces((is_right ? 0 : fill) + GAP);
}

static void
put_rows(const struct out_table *t, const unsigned *room, unsigned indent, size_t rows)
{
	size_t row, k;

	for (row = 0; row < rows; row++) {
		size_t at = t->rows_n == 0 ? row : t->rows[row].at;

		put_spaces(indent);
		for (k = 0; k < t->columns_n; k++) {
			const struct table_cell *c = &t->cells[at * t->columns_n + k];

			put_cell(t, k, c->text, c->width, c->colour, room[k]);
		}
	}
}

/* Leave out what is behind the first `width` columns of a text. */
static void
cut_text(char *text, unsigned width)
{
	static const char dots[] = "\xe2\x80\xa6"; /* U+2026 */
	unsigned columns = 0;
	char *at = text;

	if (out_width(text) <= width || strlen(text) < sizeof dots)
		return;
	while (*at != '\0' && columns + 1 < width) {
		columns++;
		do
			at++;
		while (((unsigned char)*at & 0xc0) == 0x80);
	}
	if (strlen(at) < sizeof dots)
		return; /* there is no room for the dots: it is as wide as it was */
	memcpy(at, dots, sizeof dots);
}

/* The last column gets what the terminal has left. */
static void
cut_last_column(const struct out_table *t, const unsigned *room, unsigned indent, unsigned columns)
{
	unsigned used = indent;
	size_t k;

	for (k = 0; k + 1 < t->columns_n; k++)
		used += room[k] + GAP;
	for (k = t->columns_n - 1; k < t->n; k += t->columns_n)
		if (used + 1 < columns)
			cut_text(t->cells[k].text, columns - used);
}

void
out_row_weight(struct out_table *t, double weight)
{
	size_t at = t->n / t->columns_n;

	t->rows = xrealloc(t->rows, (at + 1) * sizeof *t->rows);
	for (; t->rows_n <= at; t->rows_n++)
		t->rows[t->rows_n] = (struct table_row){.at = t->rows_n};
	t->rows[at].weight = weight;
}

static int
by_weight(const void *a, const void *b)
{
	const struct table_row *x = a, *y = b;

	if (x->weight > y->weight || x->weight < y->weight)
		return x->weight > y->weight ? -1 : 1;
	return x->at < y->at ? -1 : 1;
}

void
out_table_drop(struct out_table **tp)
{
	struct out_table *t = *tp;
	size_t k;

	*tp = NULL;
	for (k = 0; k < t->n; k++)
		free(t->cells[k].text);
	free(t->cells);
	free(t->rows);
	free(t);
}

void
out_table_end(struct out_table **tp, unsigned indent, size_t most)
{
	struct out_table *t = *tp;
	unsigned *room = xcalloc(t->columns_n, sizeof *room);
	size_t rows = t->n / t->columns_n, k;

	CHECK(t->n == rows * t->columns_n);
	if (t->rows_n > 0) {
		CHECK(t->rows_n == rows);
		qsort(t->rows, rows, sizeof *t->rows, by_weight);
	}
	for (k = 0; k < t->columns_n; k++)
		room[k] = out_width(title_of(t, k));
	for (k = 0; k < t->n; k++)
		room[k % t->columns_n] = MAX(room[k % t->columns_n], t->cells[k].width);
	if (most > 0)
		cut_last_column(t, room, indent, out_columns());
	put_spaces(indent);
	for (k = 0; k < t->columns_n; k++)
		put_cell(t, k, title_of(t, k), out_width(title_of(t, k)), OUT_BOLD, room[k]);
	put_rows(t, room, indent, most > 0 ? MIN(rows, most) : rows);
	free(room);
	out_table_drop(tp);
}
