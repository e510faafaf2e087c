using System.Text.Json;
using System.Text.Json.Serialization;

namespace KvStore.Node.Http;

/// <summary>Body of POST /v1/incr/{key}; both members may be left out, and so may the body.</summary>
internal sealed class IncrementBody
{
    public long Delta { get; set; } = 1;

    /// <summary>Value of an absent key before the delta.</summary>
    public long Initial { get; set; }

    public static Problem? Read(HttpRequest request, byte[] body, out IncrementBody increment)
    {
        increment = new IncrementBody();
        if (body.Length == 0)
        {
            return null;
        }

        if (!request.HasJsonContentType())
        {
            return Problem.Unsupported("The body of an increment is JSON: send Content-Type: application/json, or no body.");
        }

        try
        {
            increment = JsonSerializer.Deserialize(body, IncrementJson.Default.IncrementBody)!;
            return increment is null ? Problem.Invalid(Expected) : null;
        }
        catch (JsonException)
        {
            return Problem.Invalid(Expected);
        }
    }

    private const string Expected =
        """The body must be a JSON object with at most "delta" and "initial", both whole numbers of 64 bits, each at most once.""";
}

[JsonSourceGenerationOptions(
    PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase,
    UnmappedMemberHandling = JsonUnmappedMemberHandling.Disallow,
    AllowDuplicateProperties = false,
    NumberHandling = JsonNumberHandling.Strict)]
[JsonSerializable(typeof(IncrementBody))]
internal sealed partial class IncrementJson : JsonSerializerContext;
