using System.Diagnostics;
using KvStore.LoadTests.Servers;

namespace KvStore.LoadTests.Endurance;

/// <summary>Looks at the processes of the nodes at a steady pace until it is told to stop.</summary>
internal sealed class ResourceSampler(IReadOnlyList<string> nodes, ServerProcesses processes, TimeSpan interval)
{
    private readonly List<ResourceSample>[] _samples = [.. nodes.Select(_ => new List<ResourceSample>())];
    private readonly int?[] _pids = [.. nodes.Select(processes.PidOf)];

    /// <summary>A node whose first process is not there any more; null when there is none.</summary>
    public string? Ended => nodes.Where((_, at) => _pids[at] is not { } pid || !ServerProcesses.IsAlive(pid)).FirstOrDefault();

    public IReadOnlyList<NodeSeries> Series => [.. nodes.Select((node, at) => new NodeSeries(node, _samples[at]))];

    public async Task RunAsync(CancellationToken stop)
    {
        long start = Stopwatch.GetTimestamp();
        while (!stop.IsCancellationRequested)
        {
            for (int at = 0; at < nodes.Count; at++)
            {
                if (processes.Read([nodes[at]]) is { } use && processes.HandlesOf(nodes[at]) is { } handles)
                {
                    _samples[at].Add(new ResourceSample(Stopwatch.GetElapsedTime(start).TotalSeconds, use.ResidentBytes, handles));
                }
            }

            await Task.Delay(interval, stop).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
    }
}
