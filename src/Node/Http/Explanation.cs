using System.Text.Json;
using System.Text.Json.Serialization;

namespace KvStore.Node.Http;

/// <summary>Body of GET /v1/explain.</summary>
/// <param name="Key">As text, or in base64url.</param>
/// <param name="KeyEncoding">utf8 or base64url.</param>
/// <param name="Slot">Of the key.</param>
/// <param name="VirtualNode">Of the slot.</param>
/// <param name="Group">Of the virtual node.</param>
/// <param name="AskedNode">The node that explains, and that the read would be sent to.</param>
/// <param name="Read">What was asked for, with every default filled in.</param>
/// <param name="WouldServe">Who would answer it now, and how.</param>
/// <param name="Replicas">Every replica of the group, by its own word.</param>
internal sealed record Explanation(
    string Key, string KeyEncoding, int Slot, int VirtualNode, uint Group, string AskedNode, ExplainedRead Read,
    ExplainedService WouldServe, IReadOnlyList<ExplainedReplica> Replicas);

/// <param name="Consistency">The level, strong when the token cannot say what the session saw of the group.</param>
/// <param name="MaxStalenessMs">Null: no bound on the age.</param>
/// <param name="MaxLag">Null: no bound on the lag.</param>
/// <param name="SessionApplied">Entry of the group that the session has seen; null when it has seen none.</param>
/// <param name="OnUnmet">What would happen to a read whose level cannot be proved.</param>
internal sealed record ExplainedRead(string Consistency, int? MaxStalenessMs, ulong? MaxLag, ulong? SessionApplied, string OnUnmet);

/// <param name="Node">Null when nobody would answer, or when it depends on who is asked first.</param>
/// <param name="How">local, waits, asks-leader, forwards or fails.</param>
/// <param name="Reason">The same in a sentence.</param>
internal sealed record ExplainedService(string? Node, string How, string Reason);

/// <param name="Node">Where it lives.</param>
/// <param name="Reachable">It answered within a second. What follows is null when it did not.</param>
/// <param name="Role">What it takes itself for.</param>
/// <param name="Term">The term it is in.</param>
/// <param name="Applied">The last entry it shows.</param>
/// <param name="StalenessMs">Upper bound on the age of what it shows; null when no age is proved.</param>
/// <param name="Lag">Entries it may be behind, when the question named a largest lag.</param>
/// <param name="CanServe">It could answer this read now with what it has, or as the leader.</param>
/// <param name="Reason">Why, in a sentence.</param>
internal sealed record ExplainedReplica(
    string Node, bool Reachable, string? Role, ulong? Term, ulong? Applied, uint? StalenessMs, ulong? Lag, bool CanServe, string Reason);

[JsonSourceGenerationOptions(JsonSerializerDefaults.Web, WriteIndented = true)]
[JsonSerializable(typeof(Explanation))]
internal sealed partial class ExplanationJson : JsonSerializerContext;
