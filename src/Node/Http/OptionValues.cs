using System.Runtime.CompilerServices;
using KvStore.Protocol;
using Microsoft.AspNetCore.WebUtilities;
using Microsoft.Extensions.Primitives;

namespace KvStore.Node.Http;

/// <summary>
/// The options of one request as text, from headers and query in one pass. An option may be said once: twice in either place,
/// or in both places with different values, is an error, because each reader of the request would pick another one.
/// </summary>
[InlineArray(Count)]
internal struct OptionValues
{
    private const int Count = (int)OptionId.Ttl + 1;

    /// <summary>What increments, transactions and batches say in their bodies.</summary>
    private static readonly string[] InJson = ["delta", "initial", "if", "then", "else", "items"];

    private string? _first;

    public readonly string? this[OptionId id] => this[(int)id];

    public static Problem? Read(HttpRequest request, out OptionValues values)
    {
        values = default;
        foreach (KeyValuePair<string, StringValues> header in request.Headers)
        {
            if (RequestOption.ByHeader.TryGetValue(header.Key, out RequestOption? option))
            {
                if (header.Value.Count != 1)
                {
                    return Problem.Invalid($"The header {option.Header} is there {header.Value.Count} times; send it once.");
                }

                values[(int)option.Id] = header.Value[0] ?? "";
            }
            else if (header.Key.StartsWith("Kv-", StringComparison.OrdinalIgnoreCase))
            {
                return Problem.Invalid($"There is no header {Excerpt.Of(header.Key)}. Known: {string.Join(", ", OfferedHeaders())}.");
            }
        }

        return request.QueryString.HasValue ? ReadQuery(request.QueryString.Value!, ref values) : null;
    }

    private static Problem? ReadQuery(string query, ref OptionValues values)
    {
        int seen = 0;
        foreach (QueryStringEnumerable.EncodedNameValuePair pair in new QueryStringEnumerable(query))
        {
            string name = pair.DecodeName().ToString();
            if (!RequestOption.ByQuery.TryGetValue(name, out RequestOption? option))
            {
                return Problem.Invalid(InJson.Contains(name)
                    ? $$"""'{{name}}' is no query parameter but a member of the JSON body: send {"{{name}}": …} with Content-Type: application/json."""
                    : $"There is no query parameter '{Excerpt.Of(name)}'; a '?' in a key is written %3F. Known: {string.Join(", ", OfferedTwins())}.");
            }

            if ((seen & (1 << (int)option.Id)) != 0)
            {
                return Problem.Invalid($"The query parameter {option.Query} is there twice; send it once.");
            }

            seen |= 1 << (int)option.Id;
            string value = pair.DecodeValue().ToString();
            if (values[(int)option.Id] is { } header && header != value)
            {
                return Problem.Invalid($"{option.Header} and ?{option.Query} disagree: '{Excerpt.Of(header)}' and '{Excerpt.Of(value)}'. Send one of them.");
            }

            values[(int)option.Id] = value;
        }

        return null;
    }

    private static IEnumerable<string> OfferedHeaders() =>
        RequestOption.All.Where(o => o.Offered && o.Header?.StartsWith("Kv-", StringComparison.Ordinal) == true).Select(o => o.Header!);

    private static IEnumerable<string> OfferedTwins() =>
        RequestOption.All.Where(o => o.Offered && o.Query is not null).Select(o => o.Query!);
}
