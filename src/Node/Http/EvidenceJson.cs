using System.Text.Json;
using KvStore.Protocol;

namespace KvStore.Node.Http;

/// <summary>What an answer in JSON says of its guarantee: the members consistency and stalenessMs.</summary>
internal static class EvidenceJson
{
    /// <param name="json">In the middle of an object.</param>
    /// <param name="evidence">Of the replica that answered; null says eventual, of unknown age.</param>
    public static void Write(Utf8JsonWriter json, Evidence? evidence)
    {
        json.WriteString("consistency", KvHeaders.NameOf(evidence?.Level ?? ReadLevel.Eventual));
        switch (evidence)
        {
            case { Level: ReadLevel.Strong }:
                json.WriteNumber("stalenessMs", 0);
                break;
            case { AgeMs: not Evidence.AgeUnknown } known:
                json.WriteNumber("stalenessMs", known.AgeMs);
                break;
            default:
                json.WriteNull("stalenessMs");
                break;
        }
    }
}
