#include "autoscaler/reload.h"

#include <string.h>

#include "common/log.h"
#include "common/settings.h"
#include "common/text.h"

/* What was opened once, or was handed to the driver when it was. */
const char *
reload_needs_restart(const struct settings *a, const struct settings *b)
{
	const struct autoscaler_conf *x = &a->autoscaler, *y = &b->autoscaler;

	if (!text_equal(a->socket, b->socket))
		return "socket";
	if (!text_equal(a->state_dir, b->state_dir))
		return "state_dir";
	if (x->driver != y->driver)
		return "driver";
	if (!text_equal(x->admin, y->admin))
		return "admin";
	if (x->port_first != y->port_first || x->port_last != y->port_last)
		return "ports";
	if (x->orphan_timeout != y->orphan_timeout)
		return "orphan_timeout";
	if (!text_equal(x->kubeconfig, y->kubeconfig))
		return "kubeconfig";
	if (!str_list_equal(&x->namespaces, &y->namespaces))
		return "namespaces";
	if (!text_equal(x->namespace_selector, y->namespace_selector))
		return "namespace_selector";
	return NULL;
}

struct settings *
reload_read(const char *file, const struct settings *current)
{
	struct settings_errors errors = {NULL, 0};
	struct settings *s = settings_load(file, &errors);
	const char *key;
	size_t i;

	for (i = 0; i < errors.n; i++)
		log_error(NULL, "mistake in the conf file", "at=%s", errors.lines[i]);
	settings_errors_free(&errors);
	if (s == NULL) {
		log_error(NULL, "conf file not reloaded, nothing changed", "file=%s", file);
		return NULL;
	}
	key = reload_needs_restart(current, s);
	if (key != NULL) {
		log_error(NULL, "conf file not reloaded, a key needs a restart", "file=%s key=%s",
			  file, key);
		settings_free(&s);
		return NULL;
	}
	log_open((enum log_level)s->log_level, (enum log_format)s->log_format, "autoscaler");
	return s;
}
