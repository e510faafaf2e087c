using KvStore.LoadTests.Servers;

namespace KvStore.LoadTests.Load;

/// <param name="Scenario">What was done.</param>
/// <param name="Door">binary or rest.</param>
/// <param name="Simulation">How load arrived.</param>
/// <param name="Measurement">Latencies and failures.</param>
/// <param name="NotSent">Requests of an open loop that were due and never left: the rate was above what the servers can do.</param>
/// <param name="Servers">What the servers used over the window.</param>
/// <param name="After">The servers at the end of it.</param>
internal sealed record ScenarioResult(
    Scenario Scenario, string Door, LoadSimulation Simulation, Measurement Measurement, int NotSent, ServerUse Servers, ServerSample After)
{
    public double Throughput => Measurement.CompletedInWindow / Simulation.During.TotalSeconds;

    public long Failures => Measurement.Failures.Values.Sum();

    /// <summary>CPU seconds of all server processes per 100,000 requests; null when their processes are not known.</summary>
    public double? CpuSecondsPer100k => Servers.CpuSeconds is { } seconds && Measurement.CompletedInWindow > 0
        ? seconds * 100_000 / Measurement.CompletedInWindow
        : null;
}
