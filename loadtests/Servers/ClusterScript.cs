using System.Diagnostics;

namespace KvStore.LoadTests.Servers;

/// <summary>
/// Starts and ends the three server processes, always through scripts/cluster.sh: no process is ended here that the script has
/// not started.
/// </summary>
/// <param name="path">The script.</param>
/// <param name="clusterFile">The cluster file.</param>
/// <param name="dataDirectory">Data, pids and logs of the nodes.</param>
/// <param name="environment">More for the processes of the nodes.</param>
internal sealed class ClusterScript(
    string path, string clusterFile, string dataDirectory, IReadOnlyDictionary<string, string>? environment = null)
{
    public Task UpAsync(CancellationToken cancellation) => RunAsync(["up"], cancellation);

    public Task DownAsync(CancellationToken cancellation) => RunAsync(["down"], cancellation);

    /// <summary>SIGKILL.</summary>
    public Task KillAsync(string node, CancellationToken cancellation) => RunAsync(["kill", node], cancellation);

    /// <summary>SIGTERM; returns when the node has ended.</summary>
    public Task StopAsync(string node, CancellationToken cancellation) => RunAsync(["stop", node], cancellation);

    /// <summary>SIGSTOP.</summary>
    public Task PauseAsync(string node, CancellationToken cancellation) => RunAsync(["pause", node], cancellation);

    /// <summary>SIGCONT.</summary>
    public Task ResumeAsync(string node, CancellationToken cancellation) => RunAsync(["resume", node], cancellation);

    /// <summary>Returns when the node is ready.</summary>
    public Task RestartAsync(string node, CancellationToken cancellation) => RunAsync(["restart", node], cancellation);

    private async Task RunAsync(string[] verb, CancellationToken cancellation)
    {
        var start = new ProcessStartInfo(path, verb) { RedirectStandardOutput = true, RedirectStandardError = true };
        start.Environment["KV_CONFIG"] = Path.GetFullPath(clusterFile);
        start.Environment["KV_DATA"] = Path.GetFullPath(dataDirectory);
        foreach ((string name, string value) in environment ?? new Dictionary<string, string>())
        {
            start.Environment[name] = value;
        }

        using var script = Process.Start(start) ?? throw new ServersException($"{path} cannot be started");

        // Not WaitForExitAsync: it also waits for the end of the output, which a child that inherited it can keep open.
        var said = new List<string>();
        script.OutputDataReceived += (_, line) => Keep(said, line.Data);
        script.ErrorDataReceived += (_, line) => Keep(said, line.Data);
        script.BeginOutputReadLine();
        script.BeginErrorReadLine();
        while (!script.HasExited)
        {
            await Task.Delay(TimeSpan.FromMilliseconds(2), cancellation);
        }

        if (script.ExitCode != 0)
        {
            lock (said)
            {
                string last = string.Join(" / ", said.TakeLast(5));
                throw new ServersException($"{path} {string.Join(' ', verb)} ended with {script.ExitCode}: {last}");
            }
        }
    }

    private static void Keep(List<string> said, string? line)
    {
        lock (said)
        {
            if (line is not null)
            {
                said.Add(line);
            }
        }
    }
}
