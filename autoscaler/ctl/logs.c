/* logs - the lines that instances have written.  With -f it goes on where it was when the
 * autoscaler is restarted: each line has a cursor, and the next request asks for what came behind
 * it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "autoscaler/ctl/out.h"
#include "autoscaler/ctl/reading.h"
#include "autoscaler/ctl/session.h"
#include "common/clk.h"
#include "common/text.h"

#define ANSWER_TIMEOUT (30 * CLK_S)
#define FOLLOW_TIMEOUT (86400 * CLK_S) /* of one request: the most that the autoscaler allows */
#define AGAIN_EVERY (200 * CLK_MS)
#define AGAIN_MOST (120 * CLK_S) /* how long an autoscaler may be away */

struct logs {
	const struct ctl_options *o;
	bool is_live;  /* what was kept has come */
	bool is_begun; /* … at least once */
	bool has_lines;
	int64_t since_ns; /* logs_show_last() */
	char *cursor;	  /* of the last line; NULL: it had none */
	/* --tail: the last lines of what was kept, as a ring: the next one goes to `at` */
	char **kept;
	size_t kept_n, at;
};

/* --- one line --- */

static void
format_time(int64_t ms, char text[40])
{
	time_t s = (time_t)(ms / 1000);
	struct tm tm;
	size_t n;

	gmtime_r(&s, &tm);
	n = strftime(text, 40, "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(text + n, 40 - n, ".%03dZ", (int)(ms % 1000));
}

static void
put_line(const struct ctl_options *o, const struct session_line *line)
{
	char *id = session_text(line->root, "instance"), *text = session_text(line->root, "text");
	double ms = session_number(line->root, "time_ms", -1);
	char when[40];

	if (o->format == CTL_JSON) {
		out_printf("%s\n", line->text);
	} else if (text != NULL) {
		if (o->format == CTL_WIDE && ms >= 0) {
			format_time((int64_t)ms, when);
			out_coloured(OUT_DIM, "%s  ", when);
		}
		if (o->format != CTL_NAME)
			out_coloured(OUT_DIM, "%s  ", id == NULL ? "" : id);
		if (out_is_terminal())
			text_make_printable(text);
		out_printf("%s\n", text);
	} else {
		out_flush();
		out_note("%s%s%.0f lines were lost", id == NULL ? "" : id, id == NULL ? "" : ": ",
			 session_number(line->root, "lost", 0));
	}
	free(id);
	free(text);
}

/* --- --tail --- */

static void
keep(struct logs *l, const struct session_line *line)
{
	if (l->o->tail == 0)
		return;
	if (l->kept_n < l->o->tail) {
		l->kept = xrealloc(l->kept, (l->kept_n + 1) * sizeof *l->kept);
		l->kept[l->kept_n++] = xstrdup(line->text);
		return;
	}
	free(l->kept[l->at]);
	l->kept[l->at] = xstrdup(line->text);
	l->at = (l->at + 1) % l->kept_n;
}

static void
put_kept(struct logs *l)
{
	size_t i;

	for (i = 0; i < l->kept_n; i++) {
		char *text = l->kept[(l->at + i) % l->kept_n];
		struct session_line line = {.type = "log", .text = text, .n = strlen(text)};
		struct jget root;
		struct err e;
		struct json_t *json = jget_open(text, line.n, &root, &e);

		line.root = &root;
		if (json != NULL)
			put_line(l->o, &line);
		jget_close(&json);
		free(text);
	}
	free(l->kept);
	l->kept = NULL;
	l->kept_n = l->at = 0;
}

/* --- the command --- */

static void
on_line(const struct session_line *line, void *arg)
{
	struct logs *l = arg;
	char *cursor;

	if (strcmp(line->type, "live") == 0) {
		put_kept(l);
		l->is_live = l->is_begun = true;
	}
	if (strcmp(line->type, "log") != 0) {
		out_flush();
		return;
	}
	l->has_lines = true;
	cursor = session_text(line->root, "cursor");
	if (cursor != NULL) {
		free(l->cursor);
		l->cursor = cursor;
	}
	if (l->o->tail != UINT32_MAX && !l->is_begun)
		keep(l, line);
	else
		put_line(l->o, line);
	if (l->is_live)
		out_flush();
}

/* Ask once; from the cursor on, if there is one. */
static void
ask(struct logs *l, const char *name, int64_t since_ns, struct session_end *end)
{
	char *options[3], follow[] = "follow=1";
	struct session_request r = {.command = "logs",
				    .name = name,
				    .options = options,
				    .timeout_ns = l->o->is_following ? FOLLOW_TIMEOUT
								     : ANSWER_TIMEOUT};
	char *after = l->cursor == NULL ? NULL : xasprintf("after=%s", l->cursor);
	char *since = since_ns == 0 ? NULL
				    : xasprintf("since_s=%lld",
						(long long)((since_ns + CLK_S - 1) / CLK_S));

	if (l->o->is_following)
		options[r.options_n++] = follow;
	if (after != NULL)
		options[r.options_n++] = after;
	if (since != NULL)
		options[r.options_n++] = since;
	session_ask(l->o, &r, on_line, l, end);
	free(since);
	free(after);
}

/* The autoscaler may be back soon. */
static bool
may_return(const struct logs *l, const struct session_end *end, int64_t heard_ns)
{
	if (!l->o->is_following || !l->is_begun || session_is_interrupted())
		return false;
	return end->status == CTL_EXIT_TIMEOUT ||
	       (end->status == CTL_EXIT_UNREACHABLE && clk_now() - heard_ns < AGAIN_MOST);
}

/* Ask again, until it is done, or is interrupted.  What was shown already is not shown again. */
static void
ask_again(struct logs *l, const char *name, struct session_end *end)
{
	int64_t begun = clk_now(), heard = begun;

	ask(l, name, l->o->since_ns, end);
	heard = clk_now();
	while (may_return(l, end, heard)) {
		if (l->is_live && end->status == CTL_EXIT_UNREACHABLE)
			out_note("the autoscaler has gone; waiting for it to return");
		session_end_fini(end);
		session_pause(AGAIN_EVERY);
		l->is_live = false;
		ask(l, name, l->cursor == NULL ? clk_now() - begun : 0, end);
		if (l->is_live)
			heard = clk_now();
	}
}

static enum ctl_exit
show_logs(struct logs *l, const char *name)
{
	struct session_end end;
	enum ctl_exit status;

	ask_again(l, name, &end);
	put_kept(l);
	status = end.status;
	if (status == CTL_EXIT_INTERRUPTED && l->o->is_following)
		status = CTL_EXIT_OK; /* it is ended in no other way */
	else if (status != CTL_EXIT_OK)
		out_failure(end.message, end.next);
	else if (!l->has_lines && l->o->format != CTL_JSON)
		out_note("nothing is kept that its instances have written");
	session_end_fini(&end);
	return status;
}

enum ctl_exit
run_logs(const struct ctl_options *o, char *const *arguments, int n)
{
	struct logs l = {.o = o};
	enum ctl_exit status;

	(void)n;
	status = show_logs(&l, arguments[0]);
	free(l.cursor);
	return status;
}

static void
on_last_line(const struct session_line *line, void *arg)
{
	struct logs *l = arg;

	if (strcmp(line->type, "log") == 0 &&
	    session_number(line->root, "time_ms", 0) >= (double)(l->since_ns / CLK_MS))
		keep(l, line);
}

void
logs_show_last(const struct ctl_options *o, const char *revision, uint32_t lines, int64_t since_ns)
{
	struct ctl_options last = *o;
	struct logs l = {.o = &last, .since_ns = since_ns};
	struct session_request r = {
		.command = "logs", .name = revision, .timeout_ns = ANSWER_TIMEOUT};
	struct session_end end;
	size_t i;

	last.tail = lines;
	session_ask(&last, &r, on_last_line, &l, &end);
	session_end_fini(&end);
	for (i = 0; i < l.kept_n; i++) {
		char *text = l.kept[(l.at + i) % l.kept_n];
		struct jget root;
		struct err e;
		struct json_t *json = jget_open(text, strlen(text), &root, &e);
		char *line = json == NULL ? NULL : session_text(&root, "text");

		if (line != NULL) {
			text_make_printable(line);
			out_note("  %s", line);
		}
		free(line);
		jget_close(&json);
		free(text);
	}
	free(l.kept);
}
