# make             build lovage and the example plugin
# make help        list the targets
# make check SAN=address,undefined     make install DESTDIR=pkg PREFIX=/usr

NAME    ?= lovage
PREFIX  ?= /usr/local
CC      ?= cc
CFLAGS  ?= -O2 -g
comma   := ,
VARIANT := $(if $(SAN),$(subst $(comma),-,$(SAN)),$(if $(COV),cov,plain))
B       := build/$(VARIANT)
VERSION := $(shell cat VERSION)

# civetweb has no pkg-config file in Debian 12.
PKGS    := libuv json-c hiredis libcurl libpq openssl zlib inih libzstd
SYSLIBS := -lcivetweb -lbz2 -ldl -lpthread -lm

DIRS    := base protocol store store/redis store/pg worker worker/llm api cli
obj      = $(patsubst %.c,$(B)/%.o,$(1))
LIBSRC  := $(filter-out cli/main.c,$(wildcard $(DIRS:%=%/*.c)))
LIB     := $(B)/lib$(NAME).a
SUPPORT := $(wildcard tests/support/*.c)
UNIT    := $(patsubst %.c,$(B)/%,$(wildcard $(DIRS:%=tests/unit/%/test_*.c)))
CONTRACT := $(patsubst %.c,$(B)/%,$(wildcard tests/contract/test_*.c))
RACE    := $(patsubst %.c,$(B)/%,$(wildcard tests/race/race_*.c))
OOM     := $(patsubst %.c,$(B)/%,$(wildcard tests/oom/oom_*.c))
FUZZ    := $(wildcard tests/fuzz/fuzz_*.c)
PLUGINS := $(patsubst %.c,$(B)/%.so,$(wildcard examples/*.c))
SRC     := $(wildcard $(DIRS:%=%/*.[ch]) include/lovage/*.h examples/*.c)
ALLSRC  := $(SRC) $(wildcard tests/*/*.[ch] tests/unit/*/*.[ch] tests/unit/*/*/*.[ch])

# What the caller sets is kept; what the code needs is appended.  Third-party
# headers come in as system headers: their warnings are not ours to mend.
PKGCFLAGS := $(shell pkg-config --cflags $(PKGS) 2>/dev/null)
PKGLIBS   := $(shell pkg-config --libs $(PKGS) 2>/dev/null)
override CPPFLAGS += -D_GNU_SOURCE -DLOVAGE_VERSION='"$(VERSION)"' -I. -Iinclude \
  $(if $(SAN)$(COV),,-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2)
override CFLAGS += -std=c11 -fno-common -fno-omit-frame-pointer -fPIE -fvisibility=hidden \
  -fstack-protector-strong \
  -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wstrict-prototypes \
  -Wmissing-prototypes -Wpointer-arith -Wwrite-strings -Wcast-qual -Wundef \
  -Wvla -Walloca -Wformat=2 -Wimplicit-fallthrough $(if $(WERROR),-Werror) \
  $(if $(SAN),-fsanitize=$(SAN) -fno-sanitize-recover=all) \
  $(if $(COV),-O0 --coverage) $(patsubst -I%,-isystem %,$(PKGCFLAGS))
override LDFLAGS += -pie -Wl,-z,relro,-z,now $(if $(SAN),-fsanitize=$(SAN)) $(if $(COV),--coverage)
override LDLIBS += $(PKGLIBS) $(SYSLIBS)

.PHONY: all
.DELETE_ON_ERROR:
.SECONDARY:

all: $(B)/$(NAME) $(PLUGINS) ## build lovage and the example plugin

$(B)/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

$(LIB): $(call obj,$(LIBSRC))
	@rm -f $@
	$(AR) rcs $@ $^

# The plugin API is the only set of symbols that the program exports.
$(B)/$(NAME): $(B)/cli/main.o $(LIB) include/lovage/exports.list
	$(CC) $(LDFLAGS) -Wl,--dynamic-list=include/lovage/exports.list -o $@ \
	  $(B)/cli/main.o -Wl,--whole-archive $(LIB) -Wl,--no-whole-archive $(LDLIBS)
$(B)/examples/%.so: examples/%.c include/lovage/task.h
	@mkdir -p $(@D)
	$(CC) -Iinclude $(CFLAGS) -fPIC -shared -o $@ $<
$(UNIT) $(CONTRACT): $(B)/%: $(B)/%.o $(call obj,$(SUPPORT)) $(LIB)
	$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS) -lcriterion
$(RACE): $(B)/%: $(B)/%.o $(LIB)
	$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS)
$(OOM): $(B)/%: $(B)/%.o $(B)/tests/oom/oom.o $(LIB)
	$(CC) $(LDFLAGS) -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc -o $@ $^ $(LDLIBS)

.PHONY: check-unit check-race check-asan check-tsan check-oom run-oom
check-unit: $(UNIT)
	tests/lint/run-tests $(B) $(UNIT)
check-race: $(RACE)
	@set -e; for t in $(RACE); do echo "== $$t"; $$t; done
check-tsan: ## tests/race under TSan
	$(MAKE) SAN=thread check-race
check-oom: ## every allocation fails once, under ASan
	$(MAKE) SAN=address,undefined run-oom
run-oom: $(OOM)
	@set -e; for t in $(OOM); do echo "== $$t"; $$t; done

.PHONY: format format-check lint fuzz coverage hooks clean help
format: ## rewrite in place
	clang-format -i $(ALLSRC)
format-check:
	clang-format --dry-run --Werror $(ALLSRC)
lint: format-check ## format, floors, sizes, banned, cppcheck
	tests/lint/lint-floors
	tests/lint/lint-size $(ALLSRC)
	tests/lint/lint-banned $(SRC)
	cppcheck --quiet --std=c11 -U__clang__ --error-exitcode=1 --inline-suppr \
	  --enable=warning,portability -I. $(filter %.c,$(SRC))
FUZZ_TIME ?= 30
fuzz: ## libFuzzer, FUZZ_TIME seconds per target
	@mkdir -p build/fuzz
	@set -e; for f in $(FUZZ); do n=$$(basename $$f .c); mkdir -p build/fuzz/$$n.corpus; \
	  clang $(CPPFLAGS) -g -O1 -fsanitize=fuzzer,address,undefined $(PKGCFLAGS) \
	    -fno-sanitize-recover=all -o build/fuzz/$$n $$f \
	    $(wildcard base/*.c protocol/*.c) $(PKGLIBS) $(SYSLIBS); \
	  build/fuzz/$$n -max_total_time=$(FUZZ_TIME) build/fuzz/$$n.corpus \
	    $$(ls -d tests/fuzz/corpus/$$n 2>/dev/null); done
hooks: ## install the pre-commit hook
	git config core.hooksPath tests/lint/hooks
clean: ## remove build/
	rm -rf build
help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t16

-include $(shell find $(B) -name '*.d' 2>/dev/null)
