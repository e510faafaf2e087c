using System.Runtime.InteropServices;

namespace KvStore.Node.Hosting;

/// <summary>
/// Where one thread sleeps until any other wakes it: an auto-reset event for one sleeper. On Linux it is a futex (futex(2)): a sleep and a
/// wake-up are one system call each, and waking somebody who does not sleep is none, where an event of the runtime takes a mutex and a
/// condition variable. Elsewhere it is that event.
/// </summary>
/// <remarks>
/// The word says what the sleeper does. Both sides change it by a full fence (<see cref="Interlocked"/>), so on every processor whatever was
/// written before <see cref="Wake"/> is seen after the <see cref="Sleep"/> that it ends: either the waker finds Asleep and wakes, or the sleeper
/// finds Woken and does not sleep. The kernel compares the word once more under its own lock before it lets the thread sleep.
/// </remarks>
internal sealed partial class Parking : IDisposable
{
    private const int Awake = 0;
    private const int Asleep = 1;
    private const int Woken = 2;

    // futex(2): of this process only.
    private const int FutexWaitPrivate = 128;
    private const int FutexWakePrivate = 129;

    /// <summary>The number of the system call, or -1 where there is no futex.</summary>
    private static readonly long Futex = !OperatingSystem.IsLinux() ? -1 : RuntimeInformation.ProcessArchitecture switch
    {
        Architecture.X64 => 202,
        Architecture.Arm64 or Architecture.RiscV64 or Architecture.LoongArch64 => 98,
        _ => -1,
    };

    private readonly AutoResetEvent? _event = Futex < 0 ? new AutoResetEvent(initialState: false) : null;

    // Does not move, so the kernel may know its address.
    private readonly int[] _word = GC.AllocateArray<int>(1, pinned: true);

    /// <summary>Any thread. What comes before the sleep is not lost; several before one sleep count as one.</summary>
    public void Wake()
    {
        if (_event is not null)
        {
            _event.Set();
        }
        else if (Interlocked.Exchange(ref _word[0], Woken) == Asleep)
        {
            _ = SystemCall(Futex, ref _word[0], FutexWakePrivate, 1, 0, 0, 0);
        }
    }

    /// <summary>The one sleeper, for at most so many milliseconds; <see cref="Timeout.Infinite"/>: until woken. It may return early.</summary>
    public void Sleep(int milliseconds)
    {
        if (_event is not null)
        {
            _event.WaitOne(milliseconds);
            return;
        }

        if (Interlocked.CompareExchange(ref _word[0], Asleep, Awake) == Awake)
        {
            SleepInKernel(milliseconds);
        }

        Interlocked.Exchange(ref _word[0], Awake);
    }

    public void Dispose() => _event?.Dispose();

    private void SleepInKernel(int milliseconds)
    {
        if (milliseconds == Timeout.Infinite)
        {
            _ = SystemCall(Futex, ref _word[0], FutexWaitPrivate, Asleep, 0, 0, 0);
            return;
        }

        var time = new TimeSpec { Seconds = milliseconds / 1000, Nanoseconds = milliseconds % 1000 * 1_000_000L };
        unsafe
        {
            _ = SystemCall(Futex, ref _word[0], FutexWaitPrivate, Asleep, (nint)(&time), 0, 0);
        }
    }

    [LibraryImport("libc", EntryPoint = "syscall")]
    private static partial long SystemCall(long number, ref int word, int operation, int value, nint timeout, nint word2, int value3);

    private struct TimeSpec
    {
        public long Seconds;
        public long Nanoseconds;
    }
}
