/* audit - what has changed, by whom, and what came of it: of each change the autoscaler sends a
 * line for its intent, and one for its outcome; here they are one row. */
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "autoscaler/ctl/out.h"
#include "autoscaler/ctl/reading.h"
#include "autoscaler/ctl/session.h"
#include "common/clk.h"
#include "common/hmap.h"
#include "common/strbuf.h"
#include "common/text.h"

#define ANSWER_TIMEOUT (120 * CLK_S)
#define TIME_SHOWN 19 /* "2026-11-30T19:40:00" */

struct change {
	char *id, *time, *kind, *of, *change, *by, *result;
	bool is_done, is_open;
	double took_ms; /* < 0: unknown */
};

struct audits {
	const struct ctl_options *o;
	struct change **v;
	size_t n, cap;
	struct hmap by_id;
	double left_out, broken;
	double uid; /* of `user`: most changes in a row are by the same */
	char *user; /* NULL: none was looked up */
};

/* --- one line --- */

/* A number or a text, the caller's; NULL: neither. */
static char *
value_text(const struct jget *root, const char *key)
{
	char *text = session_text(root, key);
	double n = session_number(root, key, -1);

	return text != NULL || n < 0 ? text : xasprintf("%.0f", n);
}

/* "0 to 1", or what the change was in words. */
static char *
describe_change(const struct jget *root)
{
	char *what = session_text(root, "what"), *from, *to, *text;

	if (what != NULL)
		return what;
	from = value_text(root, "from");
	to = value_text(root, "to");
	if (from == NULL || to == NULL || strcmp(from, to) == 0)
		text = xstrdup(from != NULL ? from : to != NULL ? to : "");
	else
		text = xasprintf("%s to %s", from, to);
	free(from);
	free(to);
	return text;
}

/* The records have no names, so that nothing that writes them waits for a server of names. */
static const char *
user_of(struct audits *a, double uid)
{
	const struct passwd *found;

	if (a->user != NULL && a->uid == uid)
		return a->user;
	found = uid <= UINT32_MAX ? getpwuid((uid_t)uid) : NULL;
	free(a->user);
	a->user = found != NULL ? xstrdup(found->pw_name) : xasprintf("uid %.0f", uid);
	a->uid = uid;
	return a->user;
}

/* "rule idle", "deploy by root", "SIGHUP", "rollout to v2", "another program: kubectl" */
static char *
describe_by(struct audits *a, const struct jget *root)
{
	char *kind, *name, *text;
	const char *user = NULL;
	struct jget by;
	struct err e;

	if (jget_object(root, "by", JGET_MUST, &by, &e) < 0)
		return xstrdup("");
	kind = session_text(&by, "kind");
	name = session_text(&by, "name");
	if (session_number(&by, "uid", -1) >= 0)
		user = user_of(a, session_number(&by, "uid", -1));
	if (text_equal(kind, "command"))
		text = xasprintf("%s%s%s", name == NULL ? "command" : name,
				 user == NULL ? "" : " by ", user == NULL ? "" : user);
	else if (text_equal(kind, "signal"))
		text = xstrdup(name == NULL ? "signal" : name);
	else
		text = xasprintf("%s%s%s", kind == NULL ? "" : kind, name == NULL ? "" : " ",
				 name == NULL ? "" : name);
	free(kind);
	free(name);
	return text;
}

static struct change *
change_of(struct audits *a, const struct jget *root)
{
	char *id = session_text(root, "id"), *of;
	struct change *c = id == NULL ? NULL : hmap_find(&a->by_id, id);

	if (id == NULL || c != NULL) {
		free(id);
		return c;
	}
	if (a->n == a->cap) {
		a->cap = MAX(2 * a->cap, (size_t)64);
		a->v = xrealloc(a->v, a->cap * sizeof(struct change *));
	}
	c = a->v[a->n++] = xcalloc(1, sizeof *c);
	of = session_text(root, "revision");
	of = of != NULL ? of : session_text(root, "service");
	*c = (struct change){.id = id,
			     .time = session_text(root, "time"),
			     .kind = session_text(root, "kind"),
			     .of = of != NULL ? of : session_text(root, "object"),
			     .is_open = true,
			     .took_ms = -1};
	hmap_put(&a->by_id, id, c);
	return c;
}

static void
take_outcome(struct change *c, const struct jget *root)
{
	char *result = session_text(root, "result"), *why = session_text(root, "why");

	free(c->result);
	c->is_open = false;
	c->is_done = text_equal(result, "done");
	c->took_ms = session_number(root, "took_ms", -1);
	c->result = xasprintf("%s%s%s", result == NULL ? "" : result, why == NULL ? "" : ": ",
			      why == NULL ? "" : why);
	free(result);
	free(why);
}

static void
take_record(struct audits *a, const struct jget *root)
{
	char *event = session_text(root, "event");
	struct change *c;

	if (text_equal(event, "lost"))
		out_note("%.0f records were lost", session_number(root, "records", 0));
	else if ((c = change_of(a, root)) != NULL && text_equal(event, "intent")) {
		c->change = describe_change(root);
		c->by = describe_by(a, root);
	} else if (c != NULL && text_equal(event, "outcome")) {
		take_outcome(c, root);
	}
	free(event);
}

static void
on_line(const struct session_line *line, void *arg)
{
	struct audits *a = arg;

	if (strcmp(line->type, "audit_end") == 0) {
		a->left_out = session_number(line->root, "left_out", 0);
		a->broken = session_number(line->root, "broken", 0);
	} else if (strcmp(line->type, "audit") == 0) {
		if (a->o->format == CTL_JSON)
			out_printf("%s\n", line->text);
		else
			take_record(a, line->root);
	}
}

/* --- the table --- */

static const char *
or_dash(const char *text)
{
	return text == NULL || text[0] == '\0' ? "-" : text;
}

static void
put_row(const struct audits *a, struct out_table *t, const struct change *c)
{
	enum out_colour colour = c->is_open ? OUT_YELLOW : c->is_done ? OUT_GREEN : OUT_RED;

	out_cell(t, OUT_DIM, "%.*s", TIME_SHOWN, or_dash(c->time));
	out_cell(t, OUT_PLAIN, "%s", or_dash(c->kind));
	out_cell(t, OUT_PLAIN, "%s", or_dash(c->of));
	out_cell(t, OUT_PLAIN, "%s", or_dash(c->change));
	out_cell(t, OUT_PLAIN, "%s", or_dash(c->by));
	if (a->o->format == CTL_WIDE) {
		if (c->took_ms >= 0)
			out_cell(t, OUT_PLAIN, "%.1fms", c->took_ms);
		else
			out_cell(t, OUT_PLAIN, "-");
		out_cell(t, OUT_DIM, "%s", or_dash(c->id));
	}
	out_cell(t, colour, "%s", c->is_open ? "open" : or_dash(c->result));
}

static void
make_printable(struct change *c)
{
	char **texts[] = {&c->of, &c->change, &c->by, &c->result};
	size_t i;

	for (i = 0; i < ARRAY_LEN(texts); i++)
		if (*texts[i] != NULL)
			text_make_printable(*texts[i]);
}

static void
put_table(struct audits *a)
{
	static const char *const narrow[] = {"TIME (UTC)", "KIND", "OF", "CHANGE", "BY", "RESULT"};
	static const char *const wide[] = {"TIME (UTC)", "KIND",  "OF", "CHANGE",
					   "BY",	 ">TOOK", "ID", "RESULT"};
	bool is_wide = a->o->format == CTL_WIDE;
	struct out_table *t = out_table_new(is_wide ? wide : narrow,
					    is_wide ? ARRAY_LEN(wide) : ARRAY_LEN(narrow));
	size_t i;

	for (i = 0; i < a->n; i++) {
		make_printable(a->v[i]);
		put_row(a, t, a->v[i]);
	}
	out_table_end(&t, 0, 0);
}

static void
put_all(struct audits *a)
{
	size_t i;

	if (a->o->format == CTL_NAME)
		for (i = 0; i < a->n; i++)
			out_printf("%s\n", a->v[i]->id);
	else if (a->o->format != CTL_JSON && a->n > 0)
		put_table(a);
	else if (a->o->format != CTL_JSON)
		out_note("nothing has changed");
	if (a->left_out > 0)
		out_note("%.0f older records are left out; --since shows fewer", a->left_out);
	if (a->broken > 0)
		out_note("%.0f lines of the audit are broken", a->broken);
}

static void
free_all(struct audits *a)
{
	size_t i;

	for (i = 0; i < a->n; i++) {
		struct change *c = a->v[i];

		free(c->id);
		free(c->time);
		free(c->kind);
		free(c->of);
		free(c->change);
		free(c->by);
		free(c->result);
		free(c);
	}
	free(a->v);
	free(a->user);
	hmap_fini(&a->by_id);
}

enum ctl_exit
run_audit(const struct ctl_options *o, char *const *arguments, int n)
{
	struct audits a = {.o = o};
	struct session_request r = {.command = "audit",
				    .name = n > 0 ? arguments[0] : NULL,
				    .timeout_ns = ANSWER_TIMEOUT};
	char *options[1], *since = NULL;
	struct session_end end;
	enum ctl_exit status;

	hmap_init(&a.by_id);
	r.options = options;
	if (o->since_ns > 0)
		options[r.options_n++] = since = xasprintf(
			"since_s=%lld", (long long)((o->since_ns + CLK_S - 1) / CLK_S));
	session_ask(o, &r, on_line, &a, &end);
	status = end.status;
	if (status == CTL_EXIT_OK || a.n > 0)
		put_all(&a);
	if (status != CTL_EXIT_OK)
		out_failure(end.message, end.next);
	session_end_fini(&end);
	free_all(&a);
	free(since);
	return status;
}
