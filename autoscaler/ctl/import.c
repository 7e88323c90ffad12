#include "autoscaler/import/import.h"

#include <stdlib.h>
#include <string.h>

#include "autoscaler/ctl/local.h"
#include "autoscaler/ctl/out.h"
#include "common/file.h"
#include "common/strbuf.h"

#define FILE_MOST ((size_t)16 << 20)

/* What was given behind --KEY; NULL: nothing. */
static const char *
option_of(const struct ctl_options *o, const char *key)
{
	size_t n = strlen(key), i;

	for (i = 0; i < o->sent_n; i++)
		if (strncmp(o->sent[i], key, n) == 0 && o->sent[i][n] == '=')
			return o->sent[i] + n + 1;
	return NULL;
}

static enum ctl_exit
add_file(struct import *imp, const char *name)
{
	bool is_stdin = strcmp(name, "-") == 0;
	enum ctl_exit status = CTL_EXIT_OK;
	struct err e = {0};
	size_t n;
	char *text = file_read(is_stdin ? "/dev/stdin" : name, FILE_MOST, &n, &e);

	if (text == NULL)
		status = CTL_EXIT_USAGE;
	else if (import_add(imp, is_stdin ? "stdin" : name, text, n, &e) < 0)
		status = CTL_EXIT_FAILED;
	if (status != CTL_EXIT_OK)
		out_error("%s", e.text);
	free(text);
	return status;
}

/* The notes come first, since a pager or a pipe shows the answer alone. */
static enum ctl_exit
show(struct import *imp)
{
	struct strbuf out;
	const char *notes;

	import_run(imp);
	notes = import_notes(imp);
	if (notes[0] != '\0')
		out_note("%.*s", (int)strlen(notes) - 1, notes);
	if (import_services(imp) == 0) {
		out_error("nothing to import: expected an HTTPScaledObject or InterceptorRoute of "
			  "KEDA, or the label sablier.enable of Sablier");
		return CTL_EXIT_FAILED;
	}
	strbuf_init(&out, 0);
	import_write(imp, &out);
	out_text(strbuf_str(&out));
	strbuf_fini(&out);
	return import_is_partial(imp) ? CTL_EXIT_FAILED : CTL_EXIT_OK;
}

enum ctl_exit
run_import(const struct ctl_options *o, char *const *arguments, int n)
{
	const char *as = option_of(o, "as"), *ns = option_of(o, "namespace");
	bool is_conf = as != NULL && strcmp(as, "conf") == 0;
	enum ctl_exit status = CTL_EXIT_OK;
	struct import *imp;
	int i;

	if (as != NULL && !is_conf && strcmp(as, "annotations") != 0) {
		out_error("--as: expected annotations or conf, got \"%s\"", as);
		return CTL_EXIT_USAGE;
	}
	imp = import_new(is_conf ? IMPORT_CONF : IMPORT_ANNOTATIONS, ns == NULL ? "default" : ns);
	if (n == 0)
		status = add_file(imp, "-");
	for (i = 0; i < n && status == CTL_EXIT_OK; i++)
		status = add_file(imp, arguments[i]);
	if (status == CTL_EXIT_OK)
		status = show(imp);
	import_free(&imp);
	return status;
}
