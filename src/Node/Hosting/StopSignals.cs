using System.Runtime.InteropServices;

namespace KvStore.Node.Hosting;

/// <summary>
/// What ends the process from outside. SIGTERM, SIGINT and SIGHUP stop it in order once it serves; before that, while the log is
/// read, there is nothing to drain and every moment is a good one to end, so it ends at once, as it does at a second signal. SIGQUIT always
/// ends it at once, without draining, as kill -9 would. Nothing is left to the system, which lets the first process of a container (PID 1) live
/// on after a signal that it does not handle. Created first thing in the program.
/// </summary>
internal sealed partial class StopSignals : IDisposable
{
    /// <summary>Added to the number of a signal, as shells do.</summary>
    private const int KilledBySignal = 128;
    private const int Hangup = 1;

    private readonly List<PosixSignalRegistration> _registrations = [];
    private readonly TaskCompletionSource _asked = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private volatile bool _serving;

    public StopSignals()
    {
        _registrations.Add(PosixSignalRegistration.Create(PosixSignal.SIGTERM, context => OnStop(context, 15)));
        _registrations.Add(PosixSignalRegistration.Create(PosixSignal.SIGINT, context => OnStop(context, 2)));
        _registrations.Add(PosixSignalRegistration.Create(PosixSignal.SIGQUIT, context => End(context, KilledBySignal + 3)));
        if (!IsIgnored(Hangup))
        {
            _registrations.Add(PosixSignalRegistration.Create(PosixSignal.SIGHUP, context => OnStop(context, Hangup)));
        }
    }

    /// <summary>Completes when the process shall stop in order.</summary>
    public Task Asked => _asked.Task;

    /// <summary>From here on a signal drains.</summary>
    public void BeginServing() => _serving = true;

    public void Dispose() => _registrations.ForEach(registration => registration.Dispose());

    private void OnStop(PosixSignalContext context, int signal)
    {
        if (!_serving)
        {
            End(context, ExitCode.Stopped);
        }
        else if (_asked.TrySetResult())
        {
            context.Cancel = true;
        }
        else
        {
            End(context, KilledBySignal + signal);
        }
    }

    private static void End(PosixSignalContext context, int exitCode)
    {
        context.Cancel = true;
        Exit(exitCode);
    }

    // Not the runtime's own exit, which first runs what has asked to be told, and may wait for it.
    [LibraryImport("libc", EntryPoint = "_exit")]
    private static partial void Exit(int exitCode);

    /// <summary>Started by nohup: whoever did so wants the process to outlive its terminal.</summary>
    private static bool IsIgnored(int signal)
    {
        const string mask = "SigIgn:";
        try
        {
            var line = File.ReadLines("/proc/self/status").FirstOrDefault(line => line.StartsWith(mask, StringComparison.Ordinal));
            return line is not null && (Convert.ToUInt64(line[mask.Length..].Trim(), 16) & (1ul << (signal - 1))) != 0;
        }
        catch (IOException)
        {
            return false;
        }
    }
}
