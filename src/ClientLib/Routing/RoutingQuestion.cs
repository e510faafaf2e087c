using KvStore.Protocol;

namespace KvStore.Client.Routing;

/// <summary>The question after nodes, table and leaders, which any node answers from what it knows.</summary>
internal static class RoutingQuestion
{
    /// <param name="epoch">Of the table that is known already; it is not sent again. 0: none.</param>
    public static Operation Since(ulong epoch) => new GetRouting(epoch);
}
