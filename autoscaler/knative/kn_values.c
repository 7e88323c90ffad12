#include "autoscaler/knative/kn_values.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/text.h"

#define DIGITS "0123456789"

int
kn_value_bool(const char *text, bool *out)
{
	static const char *const words[] = {"1", "t", "T", "true",  "True",  "TRUE",
					    "0", "f", "F", "false", "False", "FALSE"};
	size_t i;

	for (i = 0; i < ARRAY_LEN(words); i++)
		if (strcmp(text, words[i]) == 0) {
			*out = i < ARRAY_LEN(words) / 2;
			return 0;
		}
	return -1;
}

int
kn_value_int(const char *text, int64_t min, int64_t max, int64_t *out)
{
	const char *digits = text + (text[0] == '-' || text[0] == '+');
	long long n;

	if (digits[0] == '\0' || digits[strspn(digits, DIGITS)] != '\0')
		return -1;
	errno = 0;
	n = strtoll(text, NULL, 10);
	if (errno != 0 || n < min || n > max)
		return -1;
	*out = n;
	return 0;
}

int
kn_value_number(const char *text, double *out)
{
	double n;
	char *end;

	if (text[0] == '\0' || text[strspn(text, DIGITS "+-.eE")] != '\0')
		return -1;
	n = strtod(text, &end);
	if (*end != '\0' || !isfinite(n))
		return -1;
	*out = n;
	return 0;
}

/* The length of the unit that text begins with; 0: none. */
static size_t
unit_of(const char *text, double *ns)
{
	static const struct {
		const char *name;
		double ns;
	} units[] = {{"ns", 1},	  {"us", 1e3}, {"\302\265s", 1e3}, {"\316\274s", 1e3},
		     {"ms", 1e6}, {"s", 1e9},  {"m", 60e9},	   {"h", 3600e9}};
	size_t i, n = strcspn(text, DIGITS ".");

	for (i = 0; i < ARRAY_LEN(units); i++)
		if (text_is(text, n, units[i].name)) {
			*ns = units[i].ns;
			return n;
		}
	return 0;
}

int
kn_value_duration(const char *text, int64_t *ns)
{
	bool is_negative = text[0] == '-';
	const char *at = text + (text[0] == '-' || text[0] == '+');
	double sum = 0, unit;
	size_t n, unit_n;
	char *end;

	if (strcmp(at, "0") == 0) {
		*ns = 0;
		return 0;
	}
	if (*at == '\0')
		return -1;
	for (; *at != '\0'; at += n + unit_n) {
		n = strspn(at, DIGITS);
		n += at[n] == '.' ? 1 + strspn(at + n + 1, DIGITS) : 0;
		unit_n = unit_of(at + n, &unit);
		if (unit_n == 0 || n == 0 || (n == 1 && at[0] == '.'))
			return -1;
		sum += strtod(at, &end) * unit;
	}
	if (sum > 9.2e18)
		return -1;
	*ns = llround(is_negative ? -sum : sum);
	return 0;
}

bool
kn_value_is_quantity(const char *text)
{
	static const char *const suffixes[] = {"",  "n", "u",  "m",  "k",  "M",	 "G",  "T",
					       "P", "E", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"};
	const char *at = text + (text[0] == '-' || text[0] == '+');
	size_t whole = strspn(at, DIGITS), fraction, i;
	int64_t exponent;

	at += whole;
	fraction = *at == '.' ? strspn(at + 1, DIGITS) : 0;
	at += *at == '.' ? 1 + fraction : 0;
	if (whole + fraction == 0)
		return false;
	for (i = 0; i < ARRAY_LEN(suffixes); i++)
		if (strcmp(at, suffixes[i]) == 0)
			return true;
	return (*at == 'e' || *at == 'E') && kn_value_int(at + 1, -1000, 1000, &exponent) == 0;
}
