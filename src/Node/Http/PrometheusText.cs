using System.Globalization;
using System.Text;

namespace KvStore.Node.Http;

/// <summary>
/// The Prometheus text format 0.0.4: per family its help and type, then its samples, one per line.
/// <code>
/// # HELP kvstore_wal_syncs_total Syncs of the log.
/// # TYPE kvstore_wal_syncs_total counter
/// kvstore_wal_syncs_total 17
/// </code>
/// Label values are ours (numbers, names of enums), so nothing needs escaping.
/// </summary>
internal sealed class PrometheusText
{
    public const string MediaType = "text/plain; version=0.0.4; charset=utf-8";

    private readonly StringBuilder _text = new();

    public void Family(string name, string type, string help) =>
        _text.Append("# HELP ").Append(name).Append(' ').Append(help).Append('\n')
            .Append("# TYPE ").Append(name).Append(' ').Append(type).Append('\n');

    public void Sample(string name, string labels, double value)
    {
        _text.Append(name);
        if (labels.Length > 0)
        {
            _text.Append('{').Append(labels).Append('}');
        }

        _text.Append(' ').Append(value.ToString("R", CultureInfo.InvariantCulture)).Append('\n');
    }

    public void Counter(string name, string help, double value)
    {
        Family(name, "counter", help);
        Sample(name, "", value);
    }

    public void Gauge(string name, string help, double value)
    {
        Family(name, "gauge", help);
        Sample(name, "", value);
    }

    /// <param name="name">Family.</param>
    /// <param name="labels">Without le.</param>
    /// <param name="ends">Upper ends of the buckets, ascending.</param>
    /// <param name="counts">Per bucket, one more than ends; the format wants them summed up, which happens here.</param>
    /// <param name="sum">Of everything observed.</param>
    public void Histogram(string name, string labels, double[] ends, long[] counts, double sum)
    {
        long total = 0;
        for (int i = 0; i < counts.Length; i++)
        {
            total += counts[i];
            string end = i < ends.Length ? ends[i].ToString("R", CultureInfo.InvariantCulture) : "+Inf";
            Sample(name + "_bucket", $"{labels},le=\"{end}\"", total);
        }

        Sample(name + "_sum", labels, sum);
        Sample(name + "_count", labels, total);
    }

    public override string ToString() => _text.ToString();
}
