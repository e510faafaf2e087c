using KvStore.Protocol;

namespace KvStore.LoadTests.Load;

/// <summary>One kind of request of a scenario: a put, or a get on these terms. Weights are relative to each other.</summary>
internal sealed record Step(string Name, bool IsWrite, ReadTerms Read, int Weight);

/// <summary>What a virtual user does, over and over: one of the steps, on a key drawn from the key space.</summary>
internal sealed record Scenario(string Name, IReadOnlyList<Step> Steps, KeySpace Keys, int ValueBytes, int Seed)
{
    public static readonly IReadOnlyList<string> Workloads = ["write", "read-strong", "read-eventual", "mix"];

    /// <summary>The steps of a workload by its name.</summary>
    public static IReadOnlyList<Step> StepsOf(string workload) => workload switch
    {
        "write" => [Write],
        "read-strong" => [ReadStrong],
        "read-eventual" => [new Step("read-eventual", IsWrite: false, ReadTerms.Eventual, 1)],
        "mix" => [ReadStrong, Write],
        _ => throw new ArgumentOutOfRangeException(nameof(workload), workload, "not a workload"),
    };

    private static Step Write => new("write", IsWrite: true, ReadTerms.Strong, 1);

    private static Step ReadStrong => new("read-strong", IsWrite: false, ReadTerms.Strong, 1);
}

/// <summary>How load arrives, in NBomber's words.</summary>
internal abstract record LoadSimulation(TimeSpan WarmUp, TimeSpan During)
{
    public TimeSpan Total => WarmUp + During;
}

/// <summary>
/// Closed loop: so many users, each sends its next request when the last one is answered. Finds the throughput at saturation.
/// </summary>
internal sealed record KeepConstant(int Copies, TimeSpan WarmUp, TimeSpan During) : LoadSimulation(WarmUp, During)
{
    public override string ToString() => $"{Copies} clients";
}

/// <summary>
/// Open loop: requests are due at a fixed rate whatever the servers do, and latency counts from the moment a request was due.
/// A server that stalls is charged for every request that should have been sent meanwhile (no coordinated omission).
/// </summary>
internal sealed record Inject(double RatePerSecond, int MaxInFlight, TimeSpan WarmUp, TimeSpan During) : LoadSimulation(WarmUp, During)
{
    public override string ToString() => $"{RatePerSecond:N0}/s";
}
