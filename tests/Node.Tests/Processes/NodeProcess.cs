using System.Diagnostics;

namespace KvStore.Node.Tests.Processes;

/// <summary>The built executable, running with a configuration and a data folder; its output is kept for the failure message.</summary>
internal sealed class NodeProcess : IDisposable
{
    private static readonly TimeSpan Limit = TimeSpan.FromSeconds(60);

    private readonly Process _process;
    private readonly List<string> _output = [];

    private NodeProcess(Process process)
    {
        _process = process;
    }

    /// <summary>Starts it and reads its output until a line has the mark.</summary>
    public static Task<NodeProcess> StartAsync(string config, string data, string mark, params string[] arguments) =>
        StartAsync(["dotnet"], config, data, mark, arguments);

    /// <summary>The same for a process that may have so many files and sockets open.</summary>
    public static Task<NodeProcess> StartWithinAsync(int descriptors, string config, string data, string mark, params string[] arguments) =>
        StartAsync(["bash", "-c", $"ulimit -n {descriptors}; exec dotnet \"$@\"", "-"], config, data, mark, arguments);

    private static async Task<NodeProcess> StartAsync(string[] program, string config, string data, string mark, string[] arguments)
    {
        string[] all = [.. program[1..], Path.Combine(AppContext.BaseDirectory, "KvStore.Node.dll"), "--config", config, "--data", data, .. arguments];
        ProcessStartInfo start = new(program[0], all) { RedirectStandardOutput = true, RedirectStandardError = true };

        // Would have a say in an ordinary web application; must have none here.
        start.Environment["ASPNETCORE_URLS"] = "http://0.0.0.0:1";
        start.Environment["Kestrel__Endpoints__Http__Url"] = "http://0.0.0.0:1";

        NodeProcess node = new(Process.Start(start)!);
        TaskCompletionSource marked = new(TaskCreationOptions.RunContinuationsAsynchronously);
        node._process.OutputDataReceived += (_, line) => node.Keep(line.Data, mark, marked);
        node._process.ErrorDataReceived += (_, line) => node.Keep(line.Data, mark, marked);
        node._process.BeginOutputReadLine();
        node._process.BeginErrorReadLine();
        Task exited = node._process.WaitForExitAsync();
        await Task.WhenAny(marked.Task, exited).WaitAsync(Limit);
        Assert.True(marked.Task.IsCompleted, $"The node ended without '{mark}':\n{node.Output}");
        return node;
    }

    public bool HasEnded => _process.HasExited;

    public int Id => _process.Id;

    public string Output
    {
        get
        {
            lock (_output)
            {
                return string.Join('\n', _output);
            }
        }
    }

    /// <summary>Ctrl-C, or what else ends a process where these tests run behind a shell's '&amp;'. The exit code, and how long it took to come.</summary>
    public async Task<(int ExitCode, TimeSpan Took)> InterruptAsync()
    {
        string signal = await IgnoresAsync(2) ? "-TERM" : "-INT";
        long started = Stopwatch.GetTimestamp();
        using Process kill = Process.Start("kill", [signal, $"{_process.Id}"]);
        await _process.WaitForExitAsync().WaitAsync(Limit);
        return (_process.ExitCode, Stopwatch.GetElapsedTime(started));
    }

    /// <summary>Any other signal, by its name; the exit code.</summary>
    public async Task<int> SignalAsync(string signal, TimeSpan? limit = null)
    {
        using Process kill = Process.Start("kill", [$"-{signal}", $"{_process.Id}"]);
        await _process.WaitForExitAsync().WaitAsync(limit ?? TimeSpan.FromSeconds(20));
        return _process.ExitCode;
    }

    /// <summary>
    /// What is started inherits that this signal is ignored. The runtime has handlers of its own in this process; a child gets back what was
    /// there before them.
    /// </summary>
    public static async Task<bool> IgnoresAsync(int signal)
    {
        using Process started = Process.Start(new ProcessStartInfo("grep", ["SigIgn:", "/proc/self/status"]) { RedirectStandardOutput = true })!;
        string line = await started.StandardOutput.ReadToEndAsync();
        return ((Convert.ToUInt64(line["SigIgn:".Length..].Trim(), 16) >> (signal - 1)) & 1) != 0;
    }

    /// <summary>kill -9.</summary>
    public async Task KillAsync()
    {
        _process.Kill();
        await _process.WaitForExitAsync().WaitAsync(Limit);
    }

    public void Dispose()
    {
        if (!_process.HasExited)
        {
            _process.Kill();
            _process.WaitForExit(Limit);
        }

        _process.Dispose();
    }

    private void Keep(string? line, string mark, TaskCompletionSource marked)
    {
        if (line is null)
        {
            return;
        }

        lock (_output)
        {
            _output.Add(line);
        }

        if (line.Contains(mark, StringComparison.Ordinal))
        {
            marked.TrySetResult();
        }
    }
}
