// Package settle lets a server start with a lazy garbage collector and go on with a frugal one: collecting while a heap
// grows to its size costs a third of a start's time, and what a start leaves behind is not needed after it.
//
// SETTLE_AFTER is the time to wait, SETTLE_GOGC the percentage from then on; GOGC itself is that of the start.
package settle

import (
	"bufio"
	"fmt"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"
	"time"
)

func init() {
	after, badTime := time.ParseDuration(os.Getenv("SETTLE_AFTER"))
	percent, badNumber := strconv.Atoi(os.Getenv("SETTLE_GOGC"))
	if badTime != nil || badNumber != nil {
		return // Not asked for.
	}
	time.AfterFunc(after, func() {
		debug.SetGCPercent(percent)
		debug.FreeOSMemory()
		unmapCode()
	})
}

// unmapCode gives back the pages of the program's own file: most were needed by the start only. The kernel maps those
// that are needed again, from its cache. Only what can never be written is given back, so nothing can be lost.
func unmapCode() {
	program, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return
	}
	maps, err := os.Open("/proc/self/maps")
	if err != nil {
		return
	}
	defer maps.Close()
	for lines := bufio.NewScanner(maps); lines.Scan(); {
		var start, end uintptr
		var rights string
		if _, err := fmt.Sscanf(lines.Text(), "%x-%x %s", &start, &end, &rights); err != nil {
			continue
		}
		if strings.HasSuffix(lines.Text(), " "+program) && !strings.Contains(rights, "w") {
			syscall.Syscall(syscall.SYS_MADVISE, start, end-start, syscall.MADV_DONTNEED)
		}
	}
}
