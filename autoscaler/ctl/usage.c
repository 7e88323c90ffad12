/* usage - what services have used, as a table: in hours of instances, and beside that what
 * instances that always run would have been, and how long requests have waited in exchange. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "autoscaler/ctl/out.h"
#include "autoscaler/ctl/reading.h"
#include "autoscaler/ctl/session.h"
#include "common/clk.h"
#include "common/request_counts.h"
#include "common/strbuf.h"

#define ANSWER_TIMEOUT (120 * CLK_S)
#define HOUR_S 3600.0
#define MIB 1048576.0

/* Numbers of all rows together. */
struct usage_sum {
	double ran_s, always_one_s, always_peak_s, cold_starts, cold_wait_s, cold_wait_max_s;
	double cost, always_one_cost, always_peak_cost;
};

struct usage {
	const struct ctl_options *o;
	const char *name; /* only of that service or revision; NULL: all */
	const char *of;	  /* "service", "revision", …; "total": the rows have no name */
	bool has_price;
	bool is_by_time;
	struct out_table *table;
	struct usage_sum sum;
	size_t rows;	    /* in the table */
	struct strbuf json; /* the rows, with commas between them */
	char *span;	    /* its members, in JSON */
};

/* --- columns --- */

static const char *
hours_text(double seconds, char out[32])
{
	double h = seconds / HOUR_S;

	snprintf(out, 32,
		 h == 0		  ? "%.0f"
		 : fabs(h) < 0.1  ? "%.3f"
		 : fabs(h) < 10	  ? "%.2f"
		 : fabs(h) < 1000 ? "%.1f"
				  : "%.0f",
		 h);
	return out;
}

static const char *
cost_text(double cost, char out[32])
{
	snprintf(out, 32, cost == 0 ? "%.0f" : cost < 1 ? "%.4f" : "%.2f", cost);
	return out;
}

static void
put_hours(struct out_table *t, enum out_colour colour, double seconds)
{
	char text[32];

	out_cell(t, colour, "%s", hours_text(seconds, text));
}

static double
number(const struct jget *row, const char *key)
{
	return session_number(row, key, 0);
}

static void
put_memory(struct out_table *t, const struct jget *row)
{
	double measured = number(row, "measured_s");

	if (measured > 0)
		out_cell(t, OUT_PLAIN, "%.1fMiB", number(row, "memory_byte_s") / measured / MIB);
	else
		out_cell(t, OUT_PLAIN, "-");
}

static void
put_wide(struct out_table *t, const struct jget *row)
{
	out_cell(t, OUT_PLAIN, "%.0f", number(row, "wakes"));
	out_cell(t, OUT_PLAIN, "%.0f", number(row, "starts"));
	out_cell(t, OUT_PLAIN, "%.0f", number(row, "peak"));
	put_hours(t, OUT_PLAIN, number(row, "always_peak_s"));
	put_hours(t, OUT_PLAIN, number(row, "in_flight_s"));
	out_cell(t, OUT_PLAIN, "%.1fs", number(row, "parked_s"));
	out_cell(t, OUT_PLAIN, "%.1fs", number(row, "cold_wait_max_s"));
	out_cell(t, OUT_PLAIN, "%.1fMiB", number(row, "bytes_in") / MIB);
	out_cell(t, OUT_PLAIN, "%.1fMiB", number(row, "bytes_out") / MIB);
	put_memory(t, row);
}

/* Requests that instances have answered, but with 5xx, are none of these. */
static double
refused(const struct jget *row)
{
	double n = 0;
	int i;

	for (i = REQUEST_REFUSED; i < REQUEST_REFUSED_END; i++)
		n += number(row, request_end_name((enum request_end)i));
	return n;
}

static void
put_row(struct usage *u, const struct jget *row, const char *name)
{
	char *begin = session_text(row, "begin"), cost[32];
	double n_refused = refused(row), saved_s = number(row, "saved_one_s");

	if (u->is_by_time)
		out_cell(u->table, OUT_PLAIN, "%s", begin == NULL ? "-" : begin);
	if (strcmp(u->of, "total") != 0)
		out_cell(u->table, OUT_PLAIN, "%s", name[0] == '\0' ? "-" : name);
	put_hours(u->table, OUT_PLAIN, number(row, "instance_s"));
	put_hours(u->table, OUT_PLAIN, number(row, "always_one_s"));
	put_hours(u->table, saved_s > 0 ? OUT_GREEN : OUT_PLAIN, saved_s);
	out_cell(u->table, OUT_PLAIN, "%.0f", number(row, "requests"));
	out_cell(u->table, n_refused > 0 ? OUT_YELLOW : OUT_PLAIN, "%.0f", n_refused);
	out_cell(u->table, OUT_PLAIN, "%.0f", number(row, "cold_starts"));
	out_cell(u->table, OUT_PLAIN, "%.1fs", number(row, "cold_wait_s"));
	if (number(row, "measured_s") > 0)
		out_cell(u->table, OUT_PLAIN, "%.1fs", number(row, "cpu_s"));
	else
		out_cell(u->table, OUT_PLAIN, "-");
	if (u->o->format == CTL_WIDE)
		put_wide(u->table, row);
	if (u->has_price) {
		out_cell(u->table, OUT_PLAIN, "%s", cost_text(number(row, "cost"), cost));
		out_cell(u->table, OUT_PLAIN, "%s",
			 cost_text(number(row, "always_one_cost"), cost));
	}
	free(begin);
}

static void
add_row(struct usage *u, const struct jget *row)
{
	struct usage_sum *sum = &u->sum;

	u->rows++;
	sum->ran_s += number(row, "instance_s");
	sum->always_one_s += number(row, "always_one_s");
	sum->always_peak_s += number(row, "always_peak_s");
	sum->cold_starts += number(row, "cold_starts");
	sum->cold_wait_s += number(row, "cold_wait_s");
	sum->cold_wait_max_s = MAX(sum->cold_wait_max_s, number(row, "cold_wait_max_s"));
	sum->cost += number(row, "cost");
	sum->always_one_cost += number(row, "always_one_cost");
	sum->always_peak_cost += number(row, "always_peak_cost");
}

/* --- the sum --- */

/* What always-on instances would have been, and the part of it that was saved. */
static void
write_always(const char *what, double always_s, double ran_s, const char *end)
{
	char hours[32];

	out_printf("%s %s h", what, hours_text(always_s, hours));
	if (always_s > 0)
		out_printf(" (%.0f%% saved)", 100 * MAX(always_s - ran_s, 0) / always_s);
	out_text(end);
}

static void
write_sum(const struct usage *u)
{
	const struct usage_sum *s = &u->sum;
	char hours[32], cost[32], one[32], peak[32];

	out_printf("\nInstances have run for %s h.  ", hours_text(s->ran_s, hours));
	write_always("One of each revision at all times:", s->always_one_s, s->ran_s, ", ");
	write_always("as many as its most:", s->always_peak_s, s->ran_s, ".\n");
	if (u->has_price)
		out_printf("They have cost %s; always one: %s, always the most: %s.\n",
			   cost_text(s->cost, cost), cost_text(s->always_one_cost, one),
			   cost_text(s->always_peak_cost, peak));
	if (s->cold_starts > 1)
		out_printf("In exchange %.0f requests have waited for a start: %.1f s each, "
			   "%.1f s at most.\n",
			   s->cold_starts, s->cold_wait_s / s->cold_starts, s->cold_wait_max_s);
	else if (s->cold_starts > 0)
		out_printf("In exchange one request has waited for a start: %.1f s.\n",
			   s->cold_wait_s);
	else
		out_text("No request has waited for a start.\n");
}

/* --- lines --- */

static void
begin_table(struct usage *u)
{
	static const char *const amounts[] = {">INSTANCE-H", ">ALWAYS ONE",  ">SAVED",	">REQUESTS",
					      ">REFUSED",    ">COLD STARTS", ">WAITED", ">CPU"};
	static const char *const wide[] = {">WAKES",	   ">STARTS", ">PEAK",	  ">ALWAYS PEAK",
					   ">IN FLIGHT-H", ">PARKED", ">LONGEST", ">IN",
					   ">OUT",	   ">MEMORY"};
	static const char *columns[2 + ARRAY_LEN(amounts) + ARRAY_LEN(wide) + 2];
	static char title[32];
	size_t n = 0, i;

	if (u->is_by_time)
		columns[n++] = "BEGIN";
	for (i = 0; i + 1 < sizeof title && u->of[i] != '\0'; i++)
		title[i] = u->of[i] == '_' ? ' ' : (char)(u->of[i] - 'a' + 'A');
	if (strcmp(u->of, "total") != 0)
		columns[n++] = title;
	for (i = 0; i < ARRAY_LEN(amounts); i++)
		columns[n++] = amounts[i];
	for (i = 0; u->o->format == CTL_WIDE && i < ARRAY_LEN(wide); i++)
		columns[n++] = wide[i];
	if (u->has_price) {
		columns[n++] = ">COST";
		columns[n++] = ">ALWAYS ONE COST";
	}
	u->table = out_table_new(columns, n);
}

static void
take_span(struct usage *u, const struct session_line *line)
{
	char *from = session_text(line->root, "from"), *to = session_text(line->root, "to");
	double price = session_number(line->root, "instance_hour_price", 0);

	u->has_price = price > 0;
	u->span = u->has_price ? xasprintf("\"from\":\"%s\",\"to\":\"%s\","
					   "\"instance_hour_price\":%g,",
					   from, to, price)
			       : xasprintf("\"from\":\"%s\",\"to\":\"%s\",", from, to);
	if (u->o->format == CTL_TABLE || u->o->format == CTL_WIDE)
		begin_table(u);
	free(from);
	free(to);
}

/* Is the row of the service or revision that was asked for? */
static bool
is_asked_for(const struct usage *u, const char *name)
{
	size_t n = u->name == NULL ? 0 : strlen(u->name);

	return u->name == NULL ||
	       (strncmp(name, u->name, n) == 0 && (name[n] == '\0' || name[n] == '/'));
}

static void
on_line(const struct session_line *line, void *arg)
{
	struct usage *u = arg;
	char *name;

	if (strcmp(line->type, "usage_span") == 0)
		take_span(u, line);
	if (strcmp(line->type, "usage") != 0)
		return;
	name = session_text(line->root, u->of);
	if (!is_asked_for(u, name == NULL ? "" : name))
		;
	else if (u->table != NULL) {
		put_row(u, line->root, name == NULL ? "" : name);
		add_row(u, line->root);
	} else if (u->o->format == CTL_NAME)
		out_printf("%s\n", name == NULL ? "" : name);
	else
		strbuf_addf(&u->json, "%s%s", u->json.len > 0 ? "," : "", line->text);
	free(name);
}

/* --- the command --- */

static const char *
sent_option(const struct ctl_options *o, const char *key)
{
	size_t i, n = strlen(key);

	for (i = 0; i < o->sent_n; i++)
		if (strncmp(o->sent[i], key, n) == 0)
			return o->sent[i] + n;
	return NULL;
}

/* What `by` adds up by; the autoscaler checks it. */
static void
read_by(struct usage *u, const char *by)
{
	static const char *const words[] = {"total", "service", "revision", "owner", "cost_center"};
	static const char *const spans[] = {"hour", "day", "month"};
	size_t i, n;

	for (; by != NULL && by[0] != '\0'; by += n + (by[n] == ',')) {
		n = strcspn(by, ",");
		for (i = 0; i < ARRAY_LEN(words); i++)
			if (strlen(words[i]) == n && strncmp(by, words[i], n) == 0)
				u->of = words[i];
		for (i = 0; i < ARRAY_LEN(spans); i++)
			u->is_by_time |= strlen(spans[i]) == n && strncmp(by, spans[i], n) == 0;
	}
}

static void
end_table(struct usage *u)
{
	out_table_end(&u->table, 0, 0);
	if (u->rows > 0)
		write_sum(u);
}

static void
end_usage(struct usage *u, bool is_ok)
{
	if (u->table != NULL && is_ok)
		end_table(u);
	else if (u->table != NULL)
		out_table_drop(&u->table);
	else if (is_ok && u->o->format == CTL_JSON)
		out_printf("{%s\"rows\":[%s]}\n", u->span == NULL ? "" : u->span,
			   strbuf_str(&u->json));
	strbuf_fini(&u->json);
	free(u->span);
}

enum ctl_exit
run_usage(const struct ctl_options *o, char *const *arguments, int n)
{
	struct usage u = {.o = o, .name = n > 0 ? arguments[0] : NULL};
	char **options = xcalloc(o->sent_n + 2, sizeof *options), *of, *since = NULL;
	struct session_request r = {
		.command = "usage", .options = options, .timeout_ns = ANSWER_TIMEOUT};
	const char *by = sent_option(o, "by=");
	struct session_end end;
	enum ctl_exit status;
	size_t i;

	u.of = u.name == NULL ? "service" : "revision";
	read_by(&u, by);
	if (u.name != NULL && strcmp(u.of, "service") != 0 && strcmp(u.of, "revision") != 0) {
		free(options);
		out_error("with a name: expected --by service or revision, got \"%s\"", by);
		return CTL_EXIT_USAGE;
	}
	for (i = 0; i < o->sent_n; i++)
		if (strncmp(o->sent[i], "by=", 3) != 0)
			options[r.options_n++] = o->sent[i];
	of = by == NULL ? xasprintf("by=%s", u.of) : xasprintf("by=%s,%s", by, u.of);
	options[r.options_n++] = of;
	if (o->since_ns > 0)
		options[r.options_n++] = since = xasprintf(
			"since_s=%lld", (long long)((o->since_ns + CLK_S - 1) / CLK_S));
	strbuf_init(&u.json, 0);
	session_ask(o, &r, on_line, &u, &end);
	end_usage(&u, end.status == CTL_EXIT_OK);
	status = end.status;
	if (status != CTL_EXIT_OK)
		out_failure(end.message, end.next);
	session_end_fini(&end);
	free(of);
	free(since);
	free(options);
	return status;
}
