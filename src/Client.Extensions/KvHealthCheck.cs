using Microsoft.Extensions.Diagnostics.HealthChecks;

namespace KvStore.Client;

/// <summary>Asks for a key that need not be there: first with proof, then for whatever there is.</summary>
internal sealed class KvHealthCheck(IKvStore store) : IHealthCheck
{
    private static readonly KvKey Key = "health-check";

    /// <summary>For each of the two reads.</summary>
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(2);

    public async Task<HealthCheckResult> CheckHealthAsync(HealthCheckContext context, CancellationToken cancellationToken = default)
    {
        try
        {
            KvRead read = await store.GetAsync(Key, Read.Strong with { Timeout = Patience }, cancellationToken).ConfigureAwait(false);
            return HealthCheckResult.Healthy($"a strong read was answered by {read.Evidence.Node}");
        }
        catch (KvException strong)
        {
            try
            {
                KvRead read = await store.GetAsync(Key, Read.Anything with { Timeout = Patience }, cancellationToken).ConfigureAwait(false);
                return HealthCheckResult.Degraded($"only old data can be read, from {read.Evidence.Node}: {strong.Message}", strong);
            }
            catch (KvException)
            {
                return new HealthCheckResult(context.Registration.FailureStatus, strong.Message, strong);
            }
        }
    }
}
