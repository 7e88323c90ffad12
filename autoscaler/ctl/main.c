/* main - the program `activatorctl`, by which operators and scripts speak with a running autoscaler
 * (ctl.h).  This file reads the arguments. */
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "autoscaler/ctl/commands.h"
#include "autoscaler/ctl/out.h"
#include "autoscaler/ctl/session.h"
#include "common/clk.h"
#include "common/daemon.h"
#include "common/settings_units.h"
#include "common/text.h"

enum { LONG_SOCKET = 256, LONG_NO_WAIT, LONG_TIMEOUT, LONG_FOR, LONG_INTERVAL };

/* Short options, and long ones; an option that not every command has, with its bit. */
static const char short_options[] = "c:o:qn:hV";
static const struct option long_options[] = {
	{"conf", required_argument, NULL, 'c'},
	{"socket", required_argument, NULL, LONG_SOCKET},
	{"output", required_argument, NULL, 'o'},
	{"quiet", no_argument, NULL, 'q'},
	{"no-wait", no_argument, NULL, LONG_NO_WAIT},
	{"timeout", required_argument, NULL, LONG_TIMEOUT},
	{"for", required_argument, NULL, LONG_FOR},
	{"interval", required_argument, NULL, LONG_INTERVAL},
	{"help", no_argument, NULL, 'h'},
	{"version", no_argument, NULL, 'V'},
	{NULL, 0, NULL, 0},
};

struct arguments {
	struct ctl_options options;
	unsigned given; /* OPTION_* */
	bool is_help, is_version;
	char **words; /* the command and its arguments */
	int n;
};

/* --- help --- */

static void
put_help(void)
{
	size_t i;

	out_text("usage: activatorctl [-c FILE | --socket PATH] COMMAND [ARGUMENT] [OPTION]…\n\n"
		 "Commands:\n");
	for (i = 0; i < commands_n; i++)
		out_printf("  %-11s %-16s %s\n", commands[i].name, commands[i].arguments,
			   commands[i].summary);
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
take_number(const char *text, uint32_t *out)
{
	if (text_number(text, strlen(text), 1000000000, out))
		return 0;
	out_error("-n: expected a number, got \"%s\"", text);
	return -1;
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
		return take_number(value, &o->times);
	case 'h':
		a->is_help = true;
		return 0;
	case 'V':
		a->is_version = true;
		return 0;
	default:
		return -1; /* getopt has said why */
	}
}

static int
take_arguments(struct arguments *a, int argc, char **argv)
{
	int c;

	while ((c = getopt_long(argc, argv, short_options, long_options, NULL)) != -1)
		if (take_option(a, c, optarg) < 0)
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
		   {OPTION_TOP, "--interval or -n"}};
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
	struct arguments a = {.is_help = false};
	enum ctl_exit status = CTL_EXIT_OK;

	static char name[] = "activatorctl"; /* in the messages of getopt */

	argv[0] = name;
	daemon_init(); /* a reader that leaves is an error of writing */
	if (take_arguments(&a, argc, argv) < 0)
		return CTL_EXIT_USAGE;
	out_open(a.options.is_quiet);
	if (a.is_version)
		out_printf("activatorctl %s\n", daemon_version);
	else
		status = run(&a);
	if (!out_close() && status == CTL_EXIT_OK)
		status = CTL_EXIT_FAILED;
	return (int)status;
}
