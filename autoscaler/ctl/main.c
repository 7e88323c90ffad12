/* main - the program `activatorctl`, by which operators and scripts speak with a running autoscaler
 * (ctl.h).  This file reads the arguments. */
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "autoscaler/ctl/commands.h"
#include "autoscaler/ctl/complete.h"
#include "autoscaler/ctl/out.h"
#include "autoscaler/ctl/session.h"
#include "common/clk.h"
#include "common/conf_names.h"
#include "common/daemon.h"
#include "common/settings_units.h"
#include "common/str_list.h"
#include "common/text.h"

#define ARGUMENTS_WIDTH 24 /* of the column in the list of commands */

enum {
	LONG_SOCKET = 256,
	LONG_NO_WAIT,
	LONG_TIMEOUT,
	LONG_FOR,
	LONG_INTERVAL,
	LONG_DRY_RUN,
	LONG_NO_TRAFFIC,
	LONG_HOST,
	LONG_ENV,
	LONG_WAIT,
	LONG_FOLLOW,
	LONG_TAIL,
	LONG_SINCE,
	LONG_SENT,     /* … + i: sent_options[i] */
	LONG_KEY = 512 /* … + i: settings_keys[i] */
};

/* Options that are sent as they are, with the word that the autoscaler knows. */
static const struct {
	const char *name, *key;
	unsigned option;
} sent_options[] = {
	{"revision", "revision", OPTION_DEPLOY},
	{"traffic", "percent", OPTION_DEPLOY},
	{"tag", "tag", OPTION_TAG},
	{"untag", "untag", OPTION_UNTAG},
	{"to", "to", OPTION_TO},
	{"generation", "generation", OPTION_GENERATION},
	{"from", "from", OPTION_USAGE},
	{"by", "by", OPTION_USAGE},
	{"over", "over", OPTION_ROLLOUT},
	{"steps", "steps", OPTION_ROLLOUT},
	{"abort-if", "abort_if", OPTION_ROLLOUT},
	{"min-requests", "min_requests", OPTION_ROLLOUT},
	{"as", "as", OPTION_IMPORT},
	{"namespace", "namespace", OPTION_IMPORT},
};

/* Short options, and long ones.  -f has no argument behind `logs`. */
static const char short_options[] = ":c:o:qn:f:hV", short_options_logs[] = ":c:o:qn:fhV";
static const struct option long_options[] = {
	{"conf", required_argument, NULL, 'c'},
	{"socket", required_argument, NULL, LONG_SOCKET},
	{"output", required_argument, NULL, 'o'},
	{"quiet", no_argument, NULL, 'q'},
	{"no-wait", no_argument, NULL, LONG_NO_WAIT},
	{"timeout", required_argument, NULL, LONG_TIMEOUT},
	{"for", required_argument, NULL, LONG_FOR},
	{"interval", required_argument, NULL, LONG_INTERVAL},
	{"file", required_argument, NULL, 'f'},
	{"dry-run", no_argument, NULL, LONG_DRY_RUN},
	{"no-traffic", no_argument, NULL, LONG_NO_TRAFFIC},
	{"host", required_argument, NULL, LONG_HOST},
	{"env", required_argument, NULL, LONG_ENV},
	{"wait", required_argument, NULL, LONG_WAIT},
	{"follow", no_argument, NULL, LONG_FOLLOW},
	{"tail", required_argument, NULL, LONG_TAIL},
	{"since", required_argument, NULL, LONG_SINCE},
	{"help", no_argument, NULL, 'h'},
	{"version", no_argument, NULL, 'V'},
};

struct arguments {
	struct ctl_options options;
	unsigned given; /* OPTION_* */
	bool is_help, is_version;
	bool is_logs;
	char **words; /* the command and its arguments */
	int n;
};

/* --- help --- */

/* The commands by what they are for; one that is in no group comes last. */
static const struct {
	const char *title;
	const char *names[11];
} groups[] = {
	{"Ship versions",
	 {"deploy", "traffic", "rollout", "rollback", "delete", "apply", "export"}},
	{"See what services do",
	 {"list", "describe", "revisions", "logs", "why", "top", "usage", "audit", "status"}},
	{"Start, stop and wait", {"wake", "sleep", "wait"}},
	{"Run the platform", {"import", "reload", "upgrade", "version", "completion"}},
};

static size_t
group_of(const struct command *c)
{
	size_t i, k;

	for (i = 0; i < ARRAY_LEN(groups); i++)
		for (k = 0; k < ARRAY_LEN(groups[i].names) && groups[i].names[k] != NULL; k++)
			if (strcmp(groups[i].names[k], c->name) == 0)
				return i;
	return i;
}

static void
put_command_line(const struct command *c)
{
	int fill = ARGUMENTS_WIDTH - (int)out_width(c->arguments);

	out_printf("  %-11s %s%*s %s\n", c->name, c->arguments, fill > 0 ? fill : 0, "",
		   c->summary);
}

static void
put_group(size_t group, const char *title)
{
	bool is_first = true;
	size_t i;

	for (i = 0; i < commands_n; i++) {
		if (group_of(&commands[i]) != group)
			continue;
		if (is_first)
			out_printf("\n%s:\n", title);
		is_first = false;
		put_command_line(&commands[i]);
	}
}

static void
put_help(void)
{
	size_t i;

	out_text(
		"usage: activatorctl [-c FILE | --socket PATH] COMMAND [ARGUMENT] [OPTION]…\n\n"
		"A program becomes a service, gets a second version, and goes back to the first:\n"
		"    activatorctl deploy shop --host shop.localhost --wait 30s -- ./shop --port '$PORT'\n"
		"    activatorctl deploy shop --traffic 10 --wait 30s -- ./shop2 --port '$PORT'\n"
		"    activatorctl rollback shop\n");
	for (i = 0; i < ARRAY_LEN(groups); i++)
		put_group(i, groups[i].title);
	put_group(i, "More");
	out_text("\nOptions, before or behind the command:\n"
		 "  -c, --conf FILE      the conf file that the autoscaler was started with\n"
		 "      --socket PATH    its control socket, in place of -c\n"
		 "  -o, --output FORM    wide, name or json; without it, a table\n"
		 "  -q, --quiet          neither progress nor what was done\n"
		 "      --no-wait        return once it has begun\n"
		 "      --timeout TIME   how long to wait: 30s, 5m\n"
		 "  -h, --help           this text; behind a command, help for it\n"
		 "  -V, --version        the version of this program\n"
		 "\n`activatorctl COMMAND --help` has examples.  See activatorctl(1).\n");
}

static void
put_command_help(const struct command *c)
{
	out_printf("usage: activatorctl %s%s%s%s\n\n%s\nExamples:\n%s", c->name,
		   c->arguments[0] == '\0' ? "" : " ", c->arguments,
		   c->options == 0 ? "" : " [OPTION]…", c->help, c->examples);
	if (c->options != 0)
		out_text("\nOptions:\n");
	if (c->options & OPTION_OUTPUT)
		out_text("  -o, --output FORM    wide, name or json; without it, a table\n");
	if (c->options & OPTION_NO_WAIT)
		out_text("      --no-wait        return once it has begun\n");
	if (c->options & OPTION_TIMEOUT)
		out_text("      --timeout TIME   how long to wait: 30s, 5m\n");
	if (c->options & OPTION_FOR)
		out_text("      --for STATE      awake (the default) or asleep\n");
	if (c->options & OPTION_DEPLOY)
		out_text(
			"      --host HOST      a host of the service; may be repeated\n"
			"      --env NAME=TEXT  an environment variable; may be repeated\n"
			"      --revision NAME  in place of the service's name and a number\n"
			"      --traffic P      the percent that it gets; the others share the rest\n"
			"      --no-traffic     it gets none\n"
			"      --wait TIME      it gets traffic once it answers, if it does so in time\n"
			"      --KEY VALUE      a key of the conf file: --max-scale 5, --user www\n");
	if (c->options & OPTION_UNTAG)
		out_text("      --tag REV=TAG    name a revision by a tag\n"
			 "      --untag TAG      remove a tag\n");
	else if (c->options & OPTION_TAG)
		out_text("      --tag TAG        a name that reaches it whatever its percent\n");
	if ((c->options & (OPTION_TO | OPTION_USAGE)) == OPTION_TO)
		out_text("      --to REVISION    which one\n");
	if (c->options & OPTION_FILE)
		out_text("  -f, --file FILE      the file; - for standard input\n"
			 "      --dry-run        say what would change, and change nothing\n");
	if (c->options & OPTION_LOGS)
		out_text(
			"  -f, --follow         go on with what is written from now on, until Ctrl-C\n"
			"      --tail NUMBER    of what there is only the last lines\n");
	if (c->options & OPTION_SINCE)
		out_text("      --since TIME     not what is older than that: 10m, 24h\n");
	if (c->options & OPTION_USAGE)
		out_text(
			"      --from TIME      from then on: 2026-11-30, 2026-11-30T07:00:00Z\n"
			"      --to TIME        until then\n"
			"      --by WORDS       hour, day or month, and total, service, revision, owner\n"
			"                       or cost_center, with a comma between\n");
	if (c->options & OPTION_GENERATION)
		out_text("      --generation N   only if it is the service's generation now\n");
	if (c->options & OPTION_ROLLOUT)
		out_text(
			"      --over TIME      how long all steps take together: 10m\n"
			"      --steps P,…      the percents (1,10,50,100)\n"
			"      --abort-if BOUND go back if it is broken: errors>1%, 5xx>2x, p99>500ms,\n"
			"                       p95>1.5x; may be repeated\n"
			"      --min-requests N that it must have answered before each step (20 with\n"
			"                       --abort-if, else 0)\n");
	if (c->options & OPTION_IMPORT)
		out_text(
			"      --as FORM        annotations (the default), or conf for a conf file\n"
			"      --namespace NAME of objects that name none (default)\n");
	if (c->options & OPTION_TOP)
		out_text("      --interval TIME  between two tables (1s)\n"
			 "  -n NUMBER            how many tables; 0: until Ctrl-C\n");
}

/* --- options --- */

static int
take_duration(const char *name, const char *text, int64_t *out)
{
	double ns;

	if (units_parse(KEY_DURATION, text, &ns) == 0 && ns >= (double)CLK_MS && ns <= 8.64e16) {
		*out = (int64_t)ns;
		return 0;
	}
	out_error("%s: expected a duration such as 30s or 5m, got \"%s\"", name, text);
	return -1;
}

static int
take_format(const char *text, enum ctl_format *out)
{
	static const struct {
		const char *name;
		enum ctl_format format;
	} all[] = {
		{"table", CTL_TABLE}, {"wide", CTL_WIDE}, {"name", CTL_NAME}, {"json", CTL_JSON}};
	size_t i;

	for (i = 0; i < ARRAY_LEN(all); i++)
		if (strcmp(text, all[i].name) == 0) {
			*out = all[i].format;
			return 0;
		}
	out_error("--output: expected wide, name or json, got \"%s\"", text);
	return -1;
}

static int
take_number(const char *name, const char *text, uint32_t *out)
{
	if (text_number(text, strlen(text), 1000000000, out))
		return 0;
	out_error("%s: expected a number, got \"%s\"", name, text);
	return -1;
}

static void
add_sent(struct ctl_options *o, const char *key, const char *value)
{
	o->sent = xrealloc(o->sent, (o->sent_n + 1) * sizeof *o->sent);
	o->sent[o->sent_n++] = xasprintf("%s=%s", key, value);
}

static void
add_setting(struct ctl_options *o, const struct key *key, const char *value)
{
	o->settings = xrealloc(o->settings, (o->settings_n + 1) * sizeof *o->settings);
	o->settings[o->settings_n++] = (struct ctl_setting){.key = key, .value = value};
}

/* A key that a service or a revision may have: hosts, max_scale, … */
static bool
is_for_deploy(const struct key *key)
{
	return (key->where & (IN_SERVICE | IN_REVISION)) != 0;
}

static const struct key *
find_key(const char *name)
{
	size_t i;

	for (i = 0; i < settings_keys_n; i++)
		if (is_for_deploy(&settings_keys[i]) && strcmp(settings_keys[i].name, name) == 0)
			return &settings_keys[i];
	CHECK(!"a key that is not known");
}

/* An option of logs, usage and audit.  -1: it is none. */
static int
take_reading_option(struct arguments *a, int c, const char *value)
{
	struct ctl_options *o = &a->options;

	if (c == LONG_FOLLOW || (c == 'f' && a->is_logs)) {
		a->given |= OPTION_LOGS;
		o->is_following = true;
	} else if (c == LONG_TAIL) {
		a->given |= OPTION_LOGS;
		return take_number("--tail", value, &o->tail);
	} else if (c == LONG_SINCE) {
		a->given |= OPTION_SINCE;
		return take_duration("--since", value, &o->since_ns);
	} else {
		return -1;
	}
	return 0;
}

static bool
is_reading_option(const struct arguments *a, int c)
{
	return c == LONG_FOLLOW || c == LONG_TAIL || c == LONG_SINCE || (c == 'f' && a->is_logs);
}

/* An option of the commands that change versions.  -1: it is none. */
static int
take_version_option(struct arguments *a, int c, const char *value)
{
	struct ctl_options *o = &a->options;

	if (c >= LONG_KEY) {
		a->given |= OPTION_DEPLOY;
		add_setting(o, &settings_keys[c - LONG_KEY], value);
	} else if (c >= LONG_SENT) {
		a->given |= sent_options[c - LONG_SENT].option;
		add_sent(o, sent_options[c - LONG_SENT].key, value);
	} else if (c == LONG_HOST || c == LONG_ENV) {
		a->given |= OPTION_DEPLOY;
		add_setting(o, find_key(c == LONG_HOST ? "hosts" : "environment"), value);
	} else if (c == LONG_WAIT) {
		a->given |= OPTION_DEPLOY;
		return take_duration("--wait", value, &o->wait_ns);
	} else if (c == LONG_NO_TRAFFIC) {
		a->given |= OPTION_DEPLOY;
		add_sent(o, "percent", "0");
	} else if (c == LONG_DRY_RUN) {
		a->given |= OPTION_FILE;
		add_sent(o, "dry_run", "1");
	} else if (c == 'f') {
		a->given |= OPTION_FILE;
		o->file = value;
		add_sent(o, "file", value);
	} else {
		return -1;
	}
	return 0;
}

static int
take_option(struct arguments *a, int c, const char *value)
{
	struct ctl_options *o = &a->options;

	switch (c) {
	case 'c':
		o->conf = value;
		return 0;
	case LONG_SOCKET:
		o->socket = value;
		return 0;
	case 'o':
		a->given |= OPTION_OUTPUT;
		return take_format(value, &o->format);
	case 'q':
		o->is_quiet = true;
		return 0;
	case LONG_NO_WAIT:
		a->given |= OPTION_NO_WAIT;
		o->is_not_waiting = true;
		return 0;
	case LONG_TIMEOUT:
		a->given |= OPTION_TIMEOUT;
		return take_duration("--timeout", value, &o->timeout_ns);
	case LONG_FOR:
		a->given |= OPTION_FOR;
		o->state = value;
		return 0;
	case LONG_INTERVAL:
		a->given |= OPTION_TOP;
		return take_duration("--interval", value, &o->interval_ns);
	case 'n':
		a->given |= OPTION_TOP;
		return take_number("-n", value, &o->times);
	case 'h':
		a->is_help = true;
		return 0;
	case 'V':
		a->is_version = true;
		return 0;
	default:
		if (is_reading_option(a, c))
			return take_reading_option(a, c, value);
		return take_version_option(a, c, value);
	}
}

static void
add_option(struct option *all, size_t *n, char *name, int value)
{
	all[(*n)++] = (struct option){name, required_argument, NULL, value};
}

/* The options that are written above, those that are sent, and each key of the conf file, as
 * max-scale and as max_scale. */
static struct option *
make_options(struct str_list *names)
{
	size_t most = ARRAY_LEN(long_options) + ARRAY_LEN(sent_options) + 2 * settings_keys_n;
	struct option *all = xcalloc(most + 1, sizeof *all);
	size_t n = ARRAY_LEN(long_options), i;
	char *name, *at;

	memcpy(all, long_options, sizeof long_options);
	names->v = xcalloc(most + 1, sizeof *names->v);
	for (i = 0; i < ARRAY_LEN(sent_options); i++)
		add_option(all, &n, names->v[names->n++] = xstrdup(sent_options[i].name),
			   LONG_SENT + (int)i);
	for (i = 0; i < settings_keys_n; i++) {
		if (!is_for_deploy(&settings_keys[i]))
			continue;
		add_option(all, &n, names->v[names->n++] = xstrdup(settings_keys[i].name),
			   LONG_KEY + (int)i);
		name = names->v[names->n++] = xstrdup(settings_keys[i].name);
		while ((at = strchr(name, '_')) != NULL)
			*at = '-';
		if (strcmp(name, settings_keys[i].name) != 0)
			add_option(all, &n, name, LONG_KEY + (int)i);
	}
	return all;
}

/* The long option that resembles this one most; NULL: none does. */
static const char *
nearest_option(const char *name, const struct option *options)
{
	size_t n = 0, i;
	const char **names, *nearest;

	while (options[n].name != NULL)
		n++;
	names = xcalloc(n + 1, sizeof *names);
	for (i = 0; i < n; i++)
		names[i] = options[i].name;
	nearest = conf_word_nearest(name, names, n);
	free(names);
	return nearest;
}

static bool
is_ambiguous(const char *name, const struct option *options)
{
	size_t i, n = 0;

	for (i = 0; options[i].name != NULL; i++)
		n += strncmp(options[i].name, name, strlen(name)) == 0;
	return n > 1;
}

/* getopt has refused an option; how: ':' where its argument is missing. */
static void
refuse_option(const char *given, int how, const struct option *options)
{
	char *name = xstrndup(given, strcspn(given, "="));
	bool is_long = strncmp(name, "--", 2) == 0;
	const char *nearest = is_long ? nearest_option(name + 2, options) : NULL;

	if (how == ':')
		out_error("%s: expected a value behind it, got none", name);
	else if (is_long && is_ambiguous(name + 2, options))
		out_error("%s is short for several options; activatorctl COMMAND --help lists them",
			  name);
	else if (nearest != NULL)
		out_error("there is no option %s; did you mean --%s?", name, nearest);
	else if (is_long)
		out_error("there is no option %s; activatorctl COMMAND --help lists all", name);
	else
		out_error("there is no option -%c; activatorctl COMMAND --help lists all", optopt);
	free(name);
}

/* Is `logs` the command? */
static bool
is_command_logs(int argc, char *const *argv, const struct option *options)
{
	char **copy = xcalloc((size_t)argc + 1, sizeof *copy);
	bool is;

	memcpy(copy, argv, (size_t)argc * sizeof *copy);
	opterr = 0;
	while (getopt_long(argc, copy, short_options, options, NULL) != -1)
		;
	is = optind < argc && strcmp(copy[optind], "logs") == 0;
	optind = 0; /* begin anew */
	free(copy);
	return is;
}

static int
take_arguments(struct arguments *a, int argc, char **argv)
{
	struct str_list names = {.n = 0};
	struct option *options = make_options(&names);
	const char *shorts;
	int c, rc = 0;

	a->is_logs = is_command_logs(argc, argv, options);
	shorts = a->is_logs ? short_options_logs : short_options;
	while (rc == 0 && (c = getopt_long(argc, argv, shorts, options, NULL)) != -1) {
		if (c == '?' || c == ':') {
			refuse_option(argv[optind - 1], c, options);
			rc = -1;
		} else {
			rc = take_option(a, c, optarg);
		}
	}
	free(options);
	str_list_fini(&names);
	if (rc < 0)
		return -1;
	a->words = argv + optind;
	a->n = argc - optind;
	return 0;
}

/* --- the command --- */

static void
refuse_command(const char *name)
{
	const char *nearest = command_nearest(name);

	if (nearest == NULL)
		out_error("there is no command \"%s\"; activatorctl --help lists all", name);
	else
		out_error("there is no command \"%s\"; did you mean \"%s\"?", name, nearest);
}

static int
check_options(const struct command *c, const struct arguments *a)
{
	static const struct {
		unsigned option;
		const char *name;
	} all[] = {{OPTION_OUTPUT, "--output"},
		   {OPTION_NO_WAIT, "--no-wait"},
		   {OPTION_TIMEOUT, "--timeout"},
		   {OPTION_FOR, "--for"},
		   {OPTION_TOP, "--interval or -n"},
		   {OPTION_DEPLOY, "options of deploy"},
		   {OPTION_TAG, "--tag"},
		   {OPTION_UNTAG, "--untag"},
		   {OPTION_TO, "--to"},
		   {OPTION_FILE, "-f or --dry-run"},
		   {OPTION_LOGS, "--follow or --tail"},
		   {OPTION_SINCE, "--since"},
		   {OPTION_USAGE, "--from or --by"},
		   {OPTION_GENERATION, "--generation"},
		   {OPTION_ROLLOUT, "--over, --steps, --abort-if or --min-requests"},
		   {OPTION_IMPORT, "--as or --namespace"}};
	size_t i;

	for (i = 0; i < ARRAY_LEN(all); i++)
		if ((a->given & all[i].option & ~c->options) != 0) {
			out_error("%s does not take %s; activatorctl %s --help", c->name,
				  all[i].name, c->name);
			return -1;
		}
	return 0;
}

static int
check_number(const struct command *c, int n)
{
	if (n >= c->least && n <= c->most)
		return 0;
	out_error("usage: activatorctl %s%s%s", c->name, c->arguments[0] == '\0' ? "" : " ",
		  c->arguments);
	return -1;
}

static enum ctl_exit
run(const struct arguments *a)
{
	const char *name = a->n > 0 ? a->words[0] : NULL;
	bool is_help = a->is_help;
	const struct command *c;

	if (name != NULL && strcmp(name, "__complete") == 0) { /* of the scripts for shells */
		complete(a->words + 1, a->n - 1);
		return CTL_EXIT_OK;
	}
	if (name != NULL && strcmp(name, "help") == 0) {
		is_help = true;
		name = a->n > 1 ? a->words[1] : NULL;
	}
	if (name == NULL) {
		put_help();
		return is_help ? CTL_EXIT_OK : CTL_EXIT_USAGE;
	}
	c = command_find(name);
	if (c == NULL) {
		refuse_command(name);
		return CTL_EXIT_USAGE;
	}
	if (is_help) {
		put_command_help(c);
		return CTL_EXIT_OK;
	}
	if (check_options(c, a) < 0 || check_number(c, a->n - 1) < 0)
		return CTL_EXIT_USAGE;
	session_watch_interrupt();
	return c->run(&a->options, a->words + 1, a->n - 1);
}

int
main(int argc, char **argv)
{
	struct arguments a = {.options.tail = UINT32_MAX};
	enum ctl_exit status = CTL_EXIT_OK;

	daemon_init(); /* a reader that leaves is an error of writing */
	if (take_arguments(&a, argc, argv) < 0)
		status = CTL_EXIT_USAGE;
	out_open(a.options.is_quiet);
	if (status != CTL_EXIT_OK)
		;
	else if (a.is_version)
		out_printf("activatorctl %s\n", daemon_version);
	else
		status = run(&a);
	while (a.options.sent_n > 0)
		free(a.options.sent[--a.options.sent_n]);
	free(a.options.sent);
	free(a.options.settings);
	if (!out_close() && status == CTL_EXIT_OK)
		status = CTL_EXIT_FAILED;
	return (int)status;
}
